"""Which support rows moved the weights: by leave-one-out, on a tiny run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.data.batch import Batch
from metaselector.data.episodes import Episodes, Rows
from metaselector.explanation import left_out
from metaselector.report.explanation import SHOWN, described, explanation, most_influential


def test_each_row_is_left_out_once() -> None:
    ids = torch.arange(8).view(1, 4, 2)
    mask = torch.tensor([[0.0, 1, 1, 1]])
    rows = Rows(Batch(ids, ids.float()), torch.tensor([[0.0, 1, 0, 1]]), mask)
    found = left_out(Episodes(rows, rows))
    assert found.support.mask.tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 1],
        [0, 0, 1, 1],
        [0, 1, 0, 1],
        [0, 1, 1, 0],
    ]
    assert torch.equal(found.query.mask, mask.expand(5, 4))
    assert torch.equal(found.support.batch.ids, ids.expand(5, 4, 2))
    assert torch.equal(found.support.labels, rows.labels.expand(5, 4))


@pytest.fixture
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    n = SHOWN + 2
    shift = np.arange(n) / 100 * np.where(np.arange(n) % 2, 1, -1)
    weights = pd.DataFrame({"base_model": ["lr", "fm"], "before": [0.5, 0.5], "after": [0.2, 0.8]})
    rows = pd.DataFrame(
        {
            "item": [f"i{i}" for i in range(n)],
            "timestamp": 86_400 * np.arange(n),
            "rating": [1.0, 0.0] * (n // 2),
            "shift_lr": shift,
            "shift_fm": -shift,
            "influence": np.abs(shift),
        }
    )
    return weights, rows


def test_the_text_says_what_moved_where(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    text = described("42", *tables)
    assert "lr           0.500   0.200  -0.300" in text
    assert f"{SHOWN} of {SHOWN + 2} support rows" in text
    lines = text.splitlines()
    assert lines[-SHOWN].startswith("i11, 1970-01-12 -")
    assert lines[-SHOWN].endswith("0.1100 towards lr")
    assert lines[-SHOWN + 1].endswith("0.1000 towards fm")
    nothing = tables[1].iloc[:0]
    assert "there is no support row" in described("42", tables[0], nothing)


def test_the_figure_shows_the_same(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    weights, rows = tables
    upper, lower = explanation("42", weights, rows).axes
    before, after = upper.containers
    assert [bar.get_width() for bar in before] == [0.5, 0.5]
    assert [bar.get_width() for bar in after] == [0.2, 0.8]
    widths = [bar.get_width() for bar in lower.containers[0]]
    assert widths == pytest.approx(list(100 * most_influential(rows)["influence"]))
    assert widths[0] == pytest.approx(11)
    explanation("42", weights, rows.iloc[:0])  # without support there is one too

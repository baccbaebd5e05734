"""Which support rows moved the weights: by leave-one-out, on a tiny run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.inference.explanation import left_out
from metaselector.report.explanation import (
    SHOWN,
    described,
    explanation,
    file_stem,
    most_influential,
    write_explanation,
)


def test_each_row_is_left_out_once() -> None:
    ids = torch.arange(8).view(1, 4, 2)
    mask = torch.tensor([[0.0, 1, 1, 1]])
    hours = torch.tensor([[0.0, -9, -5, -1]])
    rows = Rows(Batch(ids, ids.float()), torch.tensor([[0.0, 1, 0, 1]]), mask, hours)
    alike = torch.rand(1, 4, 4, 2)
    found = left_out(Episodes(rows, rows, alike))
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
    assert found.similarity is not None
    assert torch.equal(found.similarity, alike.expand(5, 4, 4, 2))
    for part in (found.support, found.query):
        assert part.hours is not None
        assert torch.equal(part.hours, hours.expand(5, 4))
    bare = left_out(Episodes(replace(rows, hours=None), replace(rows, hours=None)))
    assert bare.similarity is bare.support.hours is None


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
    assert "no support rows to adapt on" in described("42", tables[0], nothing)


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


def test_files_of_different_users_never_collide(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    """Also where capitals do not count; names are at most 255 bytes."""
    plain = ["42", "a_b", "a-b", "a.b", "7.0", "__", "user-1", "x" * 100]
    odd = ["a/b", "a\\b", "a b", "A_b", "a~b", "..", ".", "\0", "a\n", " a", "CON"]
    odd += ["\u0410", "\u0411", "\u00e4", "a\u0308", "x" * 101, "x" * 300, "\u0416" * 300]
    stems = {user: file_stem(user) for user in [*plain, *odd]}
    assert [stems[user] for user in plain] == [f"user-{user}" for user in plain]
    assert len({stem.lower() for stem in stems.values()}) == len(stems)
    assert all(re.fullmatch(r"user-[A-Za-z0-9_.-]+~[0-9a-f]{16}", stems[user]) for user in odd)
    assert max(len(stem.encode()) for stem in stems.values()) < 200
    assert stems["a/b"] == "user-a_b~c14cddc033f64b9d"
    # A user who is called like the files of another gets others.
    stolen = file_stem("a/b").removeprefix("user-")
    assert file_stem(stolen) not in stems.values()
    weights, rows = tables
    written = write_explanation(tmp_path / "explain", "\u0416" * 300, weights, rows)
    assert [path.exists() for path in written] == [True, True]
    assert sorted(path.name for path in (tmp_path / "explain").iterdir()) == sorted(
        path.name for path in written
    )


def test_names_in_the_table_stay_as_they_are(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are ids, also where a spreadsheet takes them for formulas."""
    monkeypatch.setattr("metaselector.report.explanation.save", lambda figure, path: None)
    weights, rows = tables
    rows["item"] = ["=1+1", "+1", "-1", "@x", *rows["item"][4:]]
    table, _ = write_explanation(tmp_path, "42", weights, rows)
    assert list(pd.read_csv(table)["item"]) == list(rows["item"])

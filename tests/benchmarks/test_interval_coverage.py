"""The simulation of coverage runs, and its parts are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import interval_coverage
from benchmarks.interval_coverage import WORLDS, app, draw, intervals, truth
from metaselector.evaluate.bootstrap import METRICS
from metaselector.evaluate.metrics import METRICS as WHOLE


@pytest.mark.parametrize("name", WORLDS)
def test_users_have_ten_rows_on_average(name: str) -> None:
    sizes = WORLDS[name](200_000, np.random.default_rng(0))
    assert sizes.min() >= 1
    assert sizes.mean() == pytest.approx(10, rel=0.07)


def test_truth_is_the_difference_of_the_metrics() -> None:
    rng = np.random.default_rng(0)
    found = truth(WORLDS["geometric"], 4_000, rng)
    rows = draw(WORLDS["geometric"](4_000, rng), rng)
    for metric in METRICS:
        first, second = (WHOLE[metric](rows.y, p, rows.users) for p in rows.p)
        assert found[metric] == pytest.approx(second - first, abs=0.02)
        assert abs(found[metric]) > 0.003  # or coverage tells little


def test_ours_are_wider_for_few_users() -> None:
    rng = np.random.default_rng(0)
    found = intervals(draw(np.full(10, 10), rng), 10, 300, rng)
    for by_kind in found.values():
        (low, high), (inner_low, inner_high) = by_kind["ours"], by_kind["percentile"]
        assert low < inner_low < inner_high < high


def test_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval_coverage, "USERS", (15, 20))
    monkeypatch.setattr(interval_coverage, "WORLDS", {"equal": WORLDS["10 each"]})
    options = ["--repeats", "2", "--resamples", "20", "--truth-users", "500"]
    done = CliRunner().invoke(app, [*options, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "coverage.csv")
    assert len(table) == 2 * 2 * len(METRICS)
    assert table["coverage"].between(0, 1).all()
    assert "| equal | 20 |" in (tmp_path / "summary.md").read_text("utf-8")
    assert (tmp_path / "environment.json").exists()

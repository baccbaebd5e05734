"""The simulation runs, and its truth agrees with formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from typer.testing import CliRunner

from benchmarks import headroom_simulation
from benchmarks.headroom_simulation import FIGURES, World, app, truth


def test_truth_of_two_models_is_that_of_the_formula() -> None:
    world = World(means=(0.5, 0.52), between=0.1)
    found = truth(world, np.random.default_rng(0), 300_000)
    spread = 0.1 * 2**0.5
    expected = spread * norm.pdf(0.02 / spread) - 0.02 * norm.cdf(-0.02 / spread)
    assert found["perfect-knowledge"] == pytest.approx(expected, abs=1e-3)
    assert 0 < found["evidence"] < found["perfect-knowledge"]


def test_users_that_do_not_differ_leave_nothing_to_choose() -> None:
    found = truth(World(between=0), np.random.default_rng(0), 10_000)
    assert found["perfect-knowledge"] == pytest.approx(0, abs=1e-12)
    assert found["evidence"] == pytest.approx(0, abs=1e-12)
    assert found["split-half"] < 0  # luck misleads


def test_rows_and_noise_are_as_specified() -> None:
    world = World(rows=2, fewest=1, row_tail=5)
    rng = np.random.default_rng(0)
    sizes = world.sizes(100_000, rng)
    assert sizes.min() == 1
    assert sizes.mean() == pytest.approx(2, rel=0.02)
    assert world.noise(sizes, rng).std() == pytest.approx(world.within, rel=0.02)


def test_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = {"small": World(users=30), "two": World(means=(0.5, 0.6), users=30)}
    monkeypatch.setattr(headroom_simulation, "WORLDS", worlds)
    options = ["--repeats", "2", "--resamples", "5", "--truth-users", "1000"]
    done = CliRunner().invoke(app, [*options, "--output", str(tmp_path)])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "simulation.csv")
    assert table["figure"].tolist() == list(FIGURES) * 2
    assert table["coverage"].between(0, 1).all()
    assert "| two | split-half |" in (tmp_path / "summary.md").read_text()
    assert (tmp_path / "environment.json").exists()

"""The benchmark of the bootstrap at a tiny size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks import bootstrap_speed, measure
from benchmarks.bootstrap_speed import Size, app, figures, predictions


def test_each_user_has_rows_and_no_scores_are_tied() -> None:
    y, p, codes = predictions(Size(7, 100, 1), 3, np.random.default_rng(0))
    assert np.bincount(codes).min() >= 1
    assert set(y) == {0, 1}
    assert p.shape == (3, 100)
    assert len(np.unique(p)) == 300


def test_seconds_are_for_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap_speed, "SIZES", {"_small": Size(7, 100, 100)})
    timed = {"before_seconds": 2.0, "seconds": 0.5, "peak_mb": 9.0}
    timed |= {"before_cpu_seconds": 1.0, "cpu_seconds": 0.25}
    found = figures({"_small": timed})
    assert found == {"seconds_small": 52.0, "cpu_seconds_small": 26.0, "peak_mb_small": 9.0}


def test_main_adds_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap_speed, "SIZES", {"": Size(7, 100, 3), "_2m": Size(9, 200, 3)})
    path = tmp_path / "run.json"
    measure.save_in(path, "other", {"seconds": 1})
    done = CliRunner().invoke(app, ["--json", str(path), "--threads", "1"])
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text("utf-8"))
    assert found["other"]["seconds"] == 1
    assert found["bootstrap"]["seconds"] > 0
    assert found["bootstrap"]["raw"].keys() == {"", "_2m"}
    assert "command" in found["bootstrap"]

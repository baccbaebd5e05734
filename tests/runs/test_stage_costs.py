"""Seconds and memory of stages."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.common.progress import Silent
from metaselector.runs.stage_costs import COLUMNS, STAGES_FILE, Measured, peak_mb, read_stages

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux resets the peak")
MB = 1_000_000


def hold(megabytes: int) -> None:
    """Touch memory and give it back."""
    assert np.ones(megabytes * MB + 1, dtype=np.uint8)[-1] == 1


def stage(measured: Measured, description: str, megabytes: int = 0) -> None:
    with measured.task(description, 1) as advance:
        hold(megabytes)
        advance()


def by_stage(folder: Path) -> pd.DataFrame:
    return read_stages(folder).set_index("stage")


def test_each_task_has_a_line_with_its_seed(tmp_path: Path) -> None:
    measured = Measured(Silent(), tmp_path)
    stage(measured, "prepare data")
    stage(measured, "seed 3: pretrain lr (full)")
    table = read_stages(tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert table["stage"].tolist() == ["prepare data", "pretrain lr (full)"]
    assert table["seed"].isna().tolist() == [True, False]
    assert table["seed"][1] == 3
    assert (table["seconds"] >= 0).all()


def test_tasks_of_one_name_are_added_up(tmp_path: Path) -> None:
    measured = Measured(Silent(), tmp_path)
    for _ in range(2):
        with measured.task("bootstrap over users", 1):
            time.sleep(0.03)
    (line,) = read_stages(tmp_path).itertuples()
    assert line.seconds >= 0.06


def test_reused_stages_keep_their_costs(tmp_path: Path) -> None:
    first = Measured(Silent(), tmp_path)
    stage(first, "prepare data")
    with first.task("seed 0: train metaselector", 1):
        time.sleep(0.05)
    again = Measured(Silent(), tmp_path)
    again.skipped("seed 0: train metaselector")
    stage(again, "prepare data")
    table = by_stage(tmp_path)
    assert len(table) == 2
    assert table.loc["train metaselector", "seconds"] >= 0.05


def test_a_stage_that_fails_leaves_no_line(tmp_path: Path) -> None:
    measured = Measured(Silent(), tmp_path)
    with pytest.raises(KeyError), measured.task("prepare data", 1):
        raise KeyError
    assert not (tmp_path / STAGES_FILE).exists()
    stage(measured, "prepare data")
    assert len(read_stages(tmp_path)) == 1


@LINUX
def test_the_peak_is_that_of_the_stage(tmp_path: Path) -> None:
    measured = Measured(Silent(), tmp_path)
    stage(measured, "small")
    stage(measured, "large", 200)
    stage(measured, "small again")
    peaks = by_stage(tmp_path)["peak_mb"]
    assert peaks["large"] - peaks["small"] == pytest.approx(200, abs=40)
    assert peaks["small again"] < peaks["large"] - 100


@LINUX
def test_an_outer_stage_has_the_peaks_before_within_and_after(tmp_path: Path) -> None:
    measured = Measured(Silent(), tmp_path)
    for name, before, inside, after in (("a", 200, 0, 0), ("b", 0, 200, 0), ("c", 0, 0, 200)):
        with measured.task(f"outer {name}", 1):
            hold(before)
            stage(measured, f"inner {name}", inside)
            hold(after)
    peaks = by_stage(tmp_path)["peak_mb"]
    outer = [peaks[f"outer {name}"] for name in "abc"]
    assert max(outer) - min(outer) < 60
    assert peaks["inner a"] < outer[0] - 100
    assert peaks["inner b"] > outer[1] - 60


def test_a_process_holds_some_memory() -> None:
    assert math.isnan(peak_mb()) or 10 < peak_mb() < 1_000_000


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / STAGES_FILE).write_text("stage,seconds\nprepare data,soon\n")
    with pytest.raises(DataError, match=r"stages\.csv"):
        read_stages(tmp_path)

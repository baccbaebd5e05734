"""The same run with several numbers of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.measure import Cost
from benchmarks.thread_counts import app, compare

LOGLOSS = {1: (0.5, 0.6), 2: (0.5001, 0.6), 4: (0.4998, 0.6)}


def made(threads: int) -> pd.DataFrame:
    lines = [(0, "fm", 0.7, LOGLOSS[threads][0]), (0, "uniform", 0.8, LOGLOSS[threads][1])]
    return pd.DataFrame(lines, columns=["seed", "model", "auc", "logloss"])


def test_the_range_is_between_the_lowest_and_the_highest() -> None:
    table = compare({threads: made(threads) for threads in LOGLOSS}).set_index("model")
    assert table["logloss_range"].to_dict() == pytest.approx({"fm": 0.0003, "uniform": 0.0})
    assert table["auc_range"].tolist() == [0, 0]
    assert table["logloss_4"].to_dict() == {"fm": 0.4998, "uniform": 0.6}


def test_every_number_of_threads_has_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def cost(command: list[str]) -> Cost:
        asked.append(command[3:])
        directory = Path(command[command.index("--run") + 1])
        directory.mkdir()
        made(len(asked)).to_csv(directory / "results.csv", index=False)
        (directory / "environment.json").write_text('{"command": "reproduce", "cores": 2}')
        return Cost(1.0, 1.0)

    monkeypatch.setattr("benchmarks.measure.cost", cost)
    places: list[Any] = ["--runs", tmp_path, "--output", tmp_path / "out"]
    done = CliRunner().invoke(app, ["--config", "small.yaml", *map(str, places)])
    assert done.exit_code == 0, done.output
    for threads, arguments in enumerate(asked, 1):
        given = f"reproduce --run {tmp_path}/threads-{threads} --set threads={threads}"
        assert " ".join(arguments) == f"{given} --config small.yaml"
    page = (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")
    assert "| fm | 0.500000 | 0.500100 | 1.0e-04 |" in page
    assert page.index("| fm |") < page.index("| uniform |")
    assert '"cores": 2' in (tmp_path / "out" / "environment.json").read_text(encoding="utf-8")

"""The benchmark of whole runs, on a small world."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import measure
from benchmarks.run_speed import app, stages


def test_windows_and_seeds_are_added_up() -> None:
    rows = [
        ("prepare data", None, 1.0),
        ("pretrain lr (early)", 0, 2.0),
        ("pretrain lr (train)", 0, 3.0),
        ("pretrain lr (early)", 1, 4.0),
        ("train metaselector", 0, 5.0),
    ]
    costs = pd.DataFrame(rows, columns=["stage", "seed", "seconds"])
    assert stages(costs) == {"prepare data": 1.0, "pretrain lr": 9.0, "train metaselector": 5.0}


@pytest.mark.parametrize("jobs", [["1"], ["1", "2"]])
def test_main_adds_to_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: list[str]
) -> None:
    asked: list[list[str]] = []

    def cost(command: list[str]) -> measure.Cost:
        asked.append(command)
        folder = Path(command[command.index("--run") + 1])
        folder.mkdir()
        (folder / "stages.csv").write_text("stage,seed,seconds\npretrain lr (full),0,2\n")
        return measure.Cost(30.0 / len(asked), 5.0, 20.0)

    monkeypatch.setattr(measure, "cost", cost)
    path = tmp_path / "run.json"
    measure.save_in(path, "other", {"seconds": 1})
    options = [word for count in jobs for word in ("--jobs", count)]
    done = CliRunner().invoke(app, ["--json", str(path), "--seeds", "2", *options])
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text("utf-8"))
    assert found["other"]["seconds"] == 1
    entry = found["whole_run, movielens-100k, seeds: 2"]
    assert list(entry["raw"]) == jobs
    assert entry["seconds_1_jobs"] == 30.0
    assert entry["raw"]["1"] == {
        "seconds": 30.0,
        "cpu_seconds": 20.0,
        "stages": {"pretrain lr": 2.0},
    }
    assert entry.get("faster") == (2.0 if len(jobs) == 2 else None)
    assert [command[-1] for command in asked] == jobs
    assert all(command.count("--seed") == 2 for command in asked)

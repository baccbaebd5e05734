"""Every tracker logs the same numbers."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from metaselector.common.errors import UserError
from metaselector.config.plugins.kinds import TRACKERS
from metaselector.runs.tracking.json_lines import LOG, JSONLines
from metaselector.runs.tracking.tracker import flat, scalars, tag

PART = "seed 0: pretrain lr (train)"
SETTINGS = {"seeds": [0], "adapt": {"steps": 2, "names": ["*"]}, "dataset": "x" * 900}
LINES: list[dict[str, Any]] = [
    {"epoch": 1, "round": 0, "event": "resumed"},
    {"epoch": 1, "round": 1, "loss": 0.75},
    {"epoch": 1, "round": 4, "train_loss": 0.5, "valid_loss": float("nan"), "rate/a.b": 0.25},
    {"epoch": 2, "round": 8, "train_loss": None, "valid_loss": 0.125, "rate/a.b": 0.5},
]


def fill(name: str, directory: Path) -> None:
    tracker = TRACKERS.load(name)(directory, SETTINGS)
    for line in LINES:
        tracker.log(PART, line)
    tracker.close("finished")


def test_names() -> None:
    assert tag(PART) == "seed-0/pretrain-lr-train"
    assert tag("no colon") == "no-colon"
    assert dict(flat(SETTINGS))["adapt.steps"] == 2


def test_what_can_be_plotted() -> None:
    assert scalars(LINES[0]) == {"epoch": 1.0}
    assert scalars(LINES[2]) == {"epoch": 1.0, "train_loss": 0.5, "rate/a.b": 0.25}


def test_json_lines(tmp_path: Path) -> None:
    tracker = JSONLines(tmp_path, SETTINGS)
    assert not (tmp_path / LOG).exists()
    for line in LINES:
        tracker.log(PART, line)
    tracker.close("interrupted")
    found = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert found[0]["event"] == "began"
    assert found[0]["settings"] == SETTINGS
    assert found[-1]["status"] == "interrupted"
    assert found[3]["valid_loss"] == "nan"
    assert found[4] == {"time": found[4]["time"], "part": PART, **LINES[3]}


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fill("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    name = "seed-0/pretrain-lr-train"
    assert [(e.step, e.value) for e in events.Scalars(f"{name}/valid_loss")] == [(8, 0.125)]
    assert [e.value for e in events.Scalars(f"{name}/rate/a.b")] == [0.25, 0.5]
    assert [e.step for e in events.Scalars(f"{name}/loss")] == [1]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader")  # MLflow's own, with SQLAlchemy 2.1
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    fill("mlflow", tmp_path / "run")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/run/mlflow.db")
    experiment = client.get_experiment_by_name("metaselector")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["adapt.steps"] == "2"
    history = client.get_metric_history(run.info.run_id, "seed-0/pretrain-lr-train/train_loss")
    assert [(m.step, m.value) for m in history] == [(4, 0.5)]


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "run").mkdir()
    fill("wandb", tmp_path / "run")
    (written,) = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    wanted, deadline = b"seed-0/pretrain-lr-train/valid_loss", time.monotonic() + 60
    while wanted not in written.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.1)  # W&B's own process writes it
    assert wanted in written.read_bytes()


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")],
)
def test_a_library_that_is_absent(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"tracking={name}: .* pip install '.*{name}"):
        TRACKERS.load(name)(tmp_path, SETTINGS)

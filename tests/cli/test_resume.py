"""Interrupting a command, and resuming it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from metaselector.cli import app
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.runs.lock import locked
from metaselector.runs.run import Run
from metaselector.runs.stages.reproduce import finds_prepared
from metaselector.training.checkpoint import read_checkpoint

from .conftest import Invoke

SHORT = (
    "--set=base_models.lr.pretrain.epochs=2000",
    "--set=base_models.lr.pretrain.patience=2000",
    "--set=base_models.lr.pretrain.batch_size=64",
)


@pytest.fixture(scope="module")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    (folder / "one.yaml").write_text("base_models: {lr: {}}\nthreads: 1\n")
    arguments = ["data", "prepare", "--run", str(folder / "run")]
    arguments += ["--data", str(write_world(folder / "raw")), "--config", str(folder / "one.yaml")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder / "run"


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "run"))


def interrupt(run: Path, number: int) -> subprocess.CompletedProcess[str]:
    """Start to pretrain for long, and send a signal when the training is under way."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "metaselector", "pretrain", "--run", str(run), *SHORT]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        deadline = time.monotonic() + 120
        while not (run / "logs" / "training.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_so(run: Path, number: int, code: int) -> None:
    done = interrupt(run, number)
    assert done.returncode == code, done.stderr
    assert f"interrupted; progress is saved in {run}" in done.stderr
    assert "Traceback" not in done.stderr
    kept = list((run / "checkpoints").rglob("*.unfinished/*.safetensors"))
    assert len(kept) == 1
    position = read_checkpoint(kept[0]).record["position"]
    assert position["rounds"] > 0
    assert "epochs: 2000" in (run / "config.yaml").read_text()


def test_resume_takes_the_settings_that_were_interrupted(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few epochs: those of the interrupted command are in config.yaml before it trains."""
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    few = ["--set=base_models.lr.pretrain.epochs=4", "--set=checkpoint.steps=5"]
    assert CliRunner().invoke(app, ["pretrain", "--run", str(whole), *few]).exit_code == 0

    from metaselector.training.loop import train as loop

    kept = loop._Loop._keep
    calls = iter(range(10_000))

    def interrupted(self: loop._Loop, asked: Callable[[], int | None], wait: bool) -> None:
        kept(self, (lambda: signal.SIGINT) if next(calls) == 23 else asked, wait)

    monkeypatch.setattr(loop._Loop, "_keep", interrupted)
    stopped = CliRunner().invoke(app, ["pretrain", "--run", str(run), *few])
    assert stopped.exit_code == 130
    resumed = CliRunner().invoke(app, ["pretrain", "--run", str(run), "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert "resuming from" in resumed.output
    files = sorted((whole / "checkpoints").rglob("*.safetensors"))
    assert len(files) == 3
    for path in files:
        other = read_checkpoint(run / path.relative_to(whole))
        for name, tensor in read_checkpoint(path).tensors.items():
            assert torch.equal(tensor, other.tensors[name])
    assert not list(run.rglob("*.unfinished"))
    for path in files:  # as if killed before the snapshots were removed
        left = (run / path.relative_to(whole)).with_suffix(".unfinished")
        left.mkdir()
        shutil.copy(path, left / "000000001.safetensors")
    assert CliRunner().invoke(app, ["pretrain", "--run", str(run)]).exit_code == 0
    assert not list(run.rglob("*.unfinished"))


def test_wrong_settings_are_not_kept(run: Path) -> None:
    before = (run / "config.yaml").read_text()
    wrong = ["--set=base_models.lr.pretrain.balance=uncertainty"]
    assert CliRunner().invoke(app, ["pretrain", "--run", str(run), *wrong]).exit_code != 0
    assert (run / "config.yaml").read_text() == before


@pytest.mark.parametrize("command", ["pretrain", "meta-train", "evaluate", "analyse"])
def test_a_run_that_is_being_written(command: str, run: Path, invoke: Invoke) -> None:
    with locked(run):
        error = invoke(command, "--run", run).error
    assert "is writing this run; wait for it" in error


def test_data_that_cannot_be_used_again_are_said(run: Path) -> None:
    class Told(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    notes: list[str] = []
    config = load_config(run / "config.yaml")
    assert finds_prepared(Run(run, config), Told())
    (run / "data" / "items.npy").write_bytes(b"")
    assert not finds_prepared(Run(run, config), Told())
    shutil.rmtree(run / "data")
    assert not finds_prepared(Run(run, config), Told())
    (note,) = notes
    assert note.startswith(f"note: {run / 'data' / 'items.npy'}: ")
    assert note.endswith("; preparing it again")

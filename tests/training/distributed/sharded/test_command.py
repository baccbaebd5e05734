"""The command line with sharded tables: the files are those of one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from metaselector.cli import app
from metaselector.training.checkpoint import read_checkpoint
from tests.training.distributed.processes import needs_proc, wait_for, worker

SETTINGS = """
threads: 1
base_models:
  fm: {options: {embedding_size: 3}, pretrain: {epochs: 5, batch_size: 32, clip_norm: 0.01}}
  deepfm: {options: {embedding_size: 2, dropout: 0}, pretrain: {epochs: 2, batch_size: 301}}
selector: {hidden_size: 4, epochs: 2}
adapt: {support_size: 5, max_users_per_chunk: 7, finetune_users: 8}
meta_train: {users_per_batch: 7, epochs: 2, clip_norm: 0.5}
paper: {epochs: 1, granularity: element}
evaluate: {resamples: 2}
checkpoint: {steps: 3}
"""
CLOSE = 1e-5
"""In single precision, after some steps of Adam; the numbers are about 1."""
CHOSEN = ("user-finetuned.safetensors", "user-finetuned-residuals.safetensors")
"""Have settings with the smallest loss; rounding chooses between those that are equally good."""


def start(*command: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [sys.executable, "-m", "metaselector", *command, "--quiet"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def ends(process: subprocess.Popen[str], code: int = 0) -> str:
    """What it said on standard error."""
    try:
        out, err = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it hangs:\n{out}\n{err}")
    assert process.returncode == code, err
    return err


@pytest.fixture(scope="module")
def alone(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process trains."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "settings.yaml").write_text(SETTINGS)
    arguments = ["--run", str(folder / "run"), "--config", str(folder / "settings.yaml")]
    ends(start("reproduce", *arguments, "--data", str(write_world(folder / "raw"))))
    return folder / "run"


def prepared(alone: Path, run: Path) -> Path:
    """The same run before anything is trained."""
    for name in ("data", "config.yaml"):
        copy = shutil.copytree if (alone / name).is_dir() else shutil.copy
        run.mkdir(exist_ok=True)
        copy(alone / name, run / name)
    return run


def assert_same_checkpoints(ours: Path, theirs: Path, pattern: str = "*") -> None:
    files = sorted((theirs / "checkpoints").rglob(f"{pattern}.safetensors"))
    assert files
    for theirs_file in files:
        file = ours / theirs_file.relative_to(theirs)
        found, wanted = read_checkpoint(file), read_checkpoint(theirs_file)
        assert found.settings == wanted.settings  # so either of them can be used in place of it
        assert found.tensors.keys() == wanted.tensors.keys()
        if file.name in CHOSEN:
            continue
        assert found.record.get("best_epoch") == wanted.record.get("best_epoch")
        for name, tensor in wanted.tensors.items():
            scale = max(1.0, tensor.abs().max().item())
            torch.testing.assert_close(
                found.tensors[name], tensor, rtol=CLOSE, atol=CLOSE * scale, msg=f"{file}: {name}"
            )


@pytest.mark.slow
def test_every_stage_is_that_of_one_process(alone: Path, tmp_path: Path) -> None:
    run = prepared(alone, tmp_path / "run")
    shared = ("--run", str(run), "--workers", "2", "--shard-tables")
    err = ends(start("pretrain", *shared, "--set", "meta_train.comm=fp16"), code=2)
    assert err == "error: --shard-tables: meta_train.comm=fp16 is for whole tables; leave it out\n"
    for stage in ("pretrain", "meta-train", "evaluate"):
        ends(start(stage, *shared))
    assert_same_checkpoints(run, alone)
    chosen = [Path(name).stem for name in CHOSEN]
    found, wanted = (pd.read_csv(each / "results.csv").set_index("model") for each in (run, alone))
    assert found.index.equals(wanted.index)
    found, wanted = found.drop(index=chosen), wanted.drop(index=chosen)
    assert (found["logloss"] - wanted["logloss"]).abs().max() < CLOSE
    assert all((run / name).exists() for name in ("rates.csv", "rivals.csv", "support_curve.csv"))
    # One process goes on with what two have trained.
    done = CliRunner().invoke(app, ["meta-train", "--run", str(run), "--quiet"])
    assert done.exit_code == 0, done.output
    assert not list(run.rglob("*.unfinished"))


TASKS = SETTINGS.replace(
    """
  fm: {options: {embedding_size: 3}, pretrain: {epochs: 5, batch_size: 32, clip_norm: 0.01}}
  deepfm: {options: {embedding_size: 2, dropout: 0}, pretrain: {epochs: 2, batch_size: 301}}
""",
    """
  aitm: {options: {embedding_size: 3}, pretrain: {epochs: 3, batch_size: 32, clip_norm: 0.01}}
  fm: {options: {embedding_size: 3}, pretrain: {epochs: 2, batch_size: 301}}
  shared-bottom:
    options: {embedding_size: 2}
    pretrain: {epochs: 2, batch_size: 301, balance: uncertainty}
""",
)


@pytest.mark.slow
def test_several_tasks_end_as_in_one_process(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "settings.yaml").write_text(TASKS)
    alone = tmp_path / "alone"
    arguments = ["--config", str(tmp_path / "settings.yaml"), "--dataset", "movielens-100k-funnel"]
    raw = str(write_world(tmp_path / "raw"))
    ends(start("data", "prepare", "--run", str(alone), *arguments, "--data", raw))
    for stage in ("pretrain", "meta-train"):
        ends(start(stage, "--run", str(alone)))
    run = prepared(alone, tmp_path / "run")
    for stage in ("pretrain", "meta-train"):
        ends(start(stage, "--run", str(run), "--workers", "2", "--shard-tables"))
    assert_same_checkpoints(run, alone)


@needs_proc
@pytest.mark.parametrize(
    ("stage", "trained"), [("pretrain", "base-*"), ("meta-train", "metaselector")]
)
@pytest.mark.slow
def test_a_worker_that_is_killed(stage: str, trained: str, alone: Path, tmp_path: Path) -> None:
    """All are started again, and go on from the snapshot that they saved together."""
    run = Path(shutil.copytree(alone, tmp_path / "run", ignore=shutil.ignore_patterns("logs")))
    for path in (run / "checkpoints").rglob(f"{trained}.safetensors"):
        path.unlink()
    process = start(stage, "--run", str(run), "--workers", "2", "--shard-tables")
    wait_for(run, "logs/training.jsonl")
    second = worker(run, 1)
    wait_for(run, "*.unfinished/0*.safetensors")  # not one that is being written
    os.kill(second, signal.SIGKILL)
    ends(process)
    lines = (run / "logs" / "training.jsonl").read_text().splitlines()
    assert "resumed" in {json.loads(line).get("event") for line in lines}
    assert_same_checkpoints(run, alone, trained)

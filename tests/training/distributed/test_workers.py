"""The command line on several workers: one is killed, all are interrupted, on two hosts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from metaselector.cli import app
from metaselector.training.checkpoint import read_checkpoint
from metaselector.training.distributed import workers
from tests.training.distributed.processes import needs_proc, wait_for, worker

SETTINGS = """
threads: 1
base_models: {fm: {pretrain: {epochs: 6, batch_size: 64, patience: 9}}}
selector: {hidden_size: 4, epochs: 4}
adapt: {support_size: 5}
meta_train: {users_per_batch: 4, epochs: 4, patience: 9}
paper: {epochs: 4}
checkpoint: {steps: 3}
"""
LONG = tuple(f"--set=base_models.fm.pretrain.{key}=4000" for key in ("epochs", "patience"))


@pytest.fixture(scope="module")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    (folder / "settings.yaml").write_text(SETTINGS)
    arguments = ["data", "prepare", "--run", str(folder / "run")]
    arguments += ["--config", str(folder / "settings.yaml")]
    arguments += ["--data", str(write_world(folder / "raw"))]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder / "run"


@pytest.fixture
def run(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "run"))


def start(*command: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join(p for p in sys.path if p)
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )


def ends(process: subprocess.Popen[str], timeout: float = 240) -> tuple[int, str]:
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it hangs:\n{out}\n{err}")
    return process.returncode, err


def tensors(run: Path) -> dict[str, dict[str, torch.Tensor]]:
    files = sorted((run / "checkpoints").rglob("*.safetensors"))
    return {str(path.relative_to(run)): read_checkpoint(path).tensors for path in files}


def assert_equal(first: Path, second: Path) -> None:
    one, other = tensors(first), tensors(second)
    assert one.keys() == other.keys()
    for name, parts in one.items():
        assert all(torch.equal(parts[key], other[name][key]) for key in parts), name


@pytest.mark.parametrize(("n", "expected"), [(0, ""), (1, "12"), (5, "2"), (6, "")])
def test_who_has_one_item_less(n: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "count", lambda: 3)
    found = ""
    for rank in range(3):
        monkeypatch.setattr(workers, "rank", lambda rank=rank: rank)
        found += str(rank) if workers.left_over(n) else ""
    assert found == expected


@needs_proc
@pytest.mark.slow
def test_a_worker_that_is_killed(run: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    pretrain = ("metaselector", "pretrain", "--workers", "2", "--run")
    assert ends(start(*pretrain, str(whole)))[0] == 0
    process = start(*pretrain, str(run))
    wait_for(run, "*.unfinished/*.safetensors")
    os.kill(worker(run, 1), signal.SIGKILL)
    code, err = ends(process)
    assert code == 0, err
    log = (run / "logs" / "training.jsonl").read_text()
    assert '"event": "resumed"' in log
    assert_equal(whole, run)
    assert not list(run.rglob("*.unfinished"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.slow
def test_interrupted(run: Path, number: int, code: int) -> None:
    process = start("metaselector", "pretrain", "--run", str(run), "--workers=2", *LONG)
    wait_for(run, "logs/training.jsonl")
    process.send_signal(number)
    returned, err = ends(process)
    assert returned == code, err
    assert err.count("interrupted; progress is saved") == 1
    (kept,) = {path.parent for path in run.rglob("*.unfinished/*.safetensors")}
    assert kept.name == "base-fm-early.unfinished"
    assert "Traceback" not in err


def test_a_mistake_is_told_once_and_not_tried_again(run: Path) -> None:
    wrong = ("--set", "base_models.fm.pretrain.balance=uncertainty")
    process = start("metaselector", "pretrain", "--run", str(run), "--workers", "2", *wrong)
    code, err = ends(process)
    assert code == 2
    assert err.count("error: ") == 1


@pytest.mark.slow
def test_two_hosts_that_meet(run: Path, tmp_path: Path) -> None:
    """Two of torchrun's agents with an address each, as on two machines with a shared folder."""
    assert CliRunner().invoke(app, ["pretrain", "--run", str(run)]).exit_code == 0
    alone = Path(shutil.copytree(run, tmp_path / "alone"))
    command = ("metaselector", "meta-train", "--run")
    code, told = ends(start(*command, str(alone), "--workers", "2"))
    assert code == 0, told
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    agents = [
        start(
            "torch.distributed.run",
            "--nnodes=2",
            "--nproc-per-node=1",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint=127.0.0.1:{port}",
            "--rdzv-id=test",
            f"--local-addr={address}",
            "-m",
            "--",
            *command,
            str(run),
        )
        for address in ("127.0.0.1", "127.0.0.2")
    ]
    for agent in agents:
        code, err = ends(agent)
        assert code == 0, err
    assert_equal(alone, run)
    assert told.count("seed 0: train metaselector: each worker sent ") == 1
    lines = (alone / "logs" / "training.jsonl").read_text().splitlines()
    sent = [json.loads(line) for line in lines if "communicated" in line]
    assert all(each["sent_per_step"] > 0 and each["round"] > 0 for each in sent)
    assert "seed 0: train metaselector" in {each["part"] for each in sent}

"""Commands killed at a random moment: running one again must end as if it was never killed.

The command runs in a forked child process, so torch is imported once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from random import Random

import pandas as pd
import yaml

from benchmarks.fuzz.target import Different, Target
from benchmarks.fuzz.world import CANDIDATES, HISTORY, RUN, SPACE, TINY
from metaselector.cli import main
from metaselector.common.errors import UserError
from metaselector.config import load_config
from metaselector.data.encoded.digests import FILE as DIGESTS
from metaselector.inference.trained import TrainedModel
from metaselector.runs.run import Run
from metaselector.training.checkpoint import read_checkpoint

SECONDS = 60.0
"""Limit on processor time of a killed command and the next one together."""

STEPS: Mapping[str, Sequence[str]] = {
    "prepare": ("data", "prepare", "--config", "{world}/" + TINY, "--data", "{world}/log.csv"),
    "pretrain": ("pretrain",),
    "meta-train": ("meta-train",),
    "evaluate": ("evaluate",),
    "tune": ("tune", "--space", "{world}/" + SPACE, "--trials", "3"),
    "predict": (
        "predict", "--history", "{world}/" + HISTORY, "--candidates", "{world}/" + CANDIDATES,
        "--output", "{here}/predicted.csv",
    ),
    "save": (),
}  # fmt: skip
"""Command of each step, without ``--run``; saving is done from Python."""

NEEDS: Mapping[str, tuple[str, ...]] = {
    "prepare": (),
    "pretrain": ("data", "config.yaml"),
    "meta-train": ("data", "config.yaml", "checkpoints/seed-0/base-*"),
    "evaluate": ("data", "config.yaml", "checkpoints"),
    "tune": ("data", "config.yaml", "checkpoints/seed-0/base-*"),
    "predict": ("data", "config.yaml", "checkpoints"),
    "save": ("data", "config.yaml", "checkpoints"),
}
"""Files of the world's run that a step starts with."""

_PASSED_OVER = ("logs", "environment.json", "summary.", ".db")
"""Parts of names of files that record times and numbers of attempts."""


def targets(world: Path) -> list[Target]:
    return [
        Target(
            f"killed-{step}", partial(_write, world, step), partial(_survive, world, step),
            weight, "kills", SECONDS,
        )
        for step, weight in zip(STEPS, (4, 3, 4, 2, 2, 2, 3), strict=True)
    ]  # fmt: skip


def _write(world: Path, step: str, random: Random, folder: Path) -> None:
    """Write the files that the step starts with, and one or two moments to kill it at."""
    _, seconds = _undisturbed(world, step)
    _begin(world, step, folder)
    moments = [random.uniform(0, 1.1 * seconds) for _ in range(random.choice((1, 1, 2)))]
    (folder / "moments").write_text(" ".join(map(str, moments)), encoding="utf-8")


def _survive(world: Path, step: str, folder: Path) -> None:
    expected, _ = _undisturbed(world, step)
    for moment in map(float, (folder / "moments").read_text(encoding="utf-8").split()):
        _run(world, step, folder, kill_after=moment)
    _run(world, step, folder)
    try:
        found = _contents(folder)
    except UserError as error:
        raise Different(f"an unreadable file was left: {error}") from error
    for name in sorted(expected.keys() | found.keys()):
        if name not in expected:
            raise Different(f"{name} was left behind")
        if found.get(name) != expected[name]:
            raise Different(f"{name} is {'different' if name in found else 'missing'}")


@cache
def _undisturbed(world: Path, step: str) -> tuple[Mapping[str, str], float]:
    """Contents after the step if it is not killed, and its seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _begin(world, step, folder)
        started = time.perf_counter()
        _run(world, step, folder)
        return _contents(folder), time.perf_counter() - started


def _begin(world: Path, step: str, folder: Path) -> None:
    (folder / RUN).mkdir()
    for pattern in NEEDS[step]:
        for path in (world / RUN).glob(pattern):
            target = folder / RUN / path.relative_to(world / RUN)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, target)


def _run(world: Path, step: str, folder: Path, kill_after: float | None = None) -> None:
    """Run the step in a child process, which is killed after some seconds or must succeed."""
    said = folder / "said"
    child = os.fork()
    if not child:
        code = 70
        try:
            with said.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = _do(world, step, folder)
        finally:
            os._exit(code)
    status = _ended(child, kill_after)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
        raise Different(f"exit code {os.WEXITSTATUS(status)}: {' '.join(lines[-1:])}")
    said.unlink()


def _ended(child: int, kill_after: float | None) -> int:
    """Exit status of a child that ended or was killed."""
    if kill_after is not None:
        end = time.monotonic() + kill_after
        while time.monotonic() < end:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return status
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _do(world: Path, step: str, folder: Path) -> int:
    """Run the step in this process; return its exit code."""
    run = folder / RUN
    if step == "save":
        TrainedModel.of_run(Run(run, load_config(run / "config.yaml"))).save(folder / "model")
        return 0
    words = [word.format(world=world, here=folder) for word in STEPS[step]]
    sys.argv = ["metaselector", *words, "--run", str(run)]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


def _contents(folder: Path) -> Mapping[str, str]:
    """Digest of each file and name of each folder, without logs and the like."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name in ("said", "moments") or any(part in name for part in _PASSED_OVER):
            continue
        found[name] = "a folder" if path.is_dir() else _digest(path)
    return found


def _digest(path: Path) -> str:
    """Digest of the contents of a file, without times and killed trials.

    Safetensors files are read first, as the order of entries in their header may vary.
    """
    if path.suffix == ".safetensors":
        return _tensors(path)
    if path.name == DIGESTS:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return str({name: sha for name, sha in files.items() if not name.endswith(".safetensors")})
    if path.parent.name == "tune":
        if path.suffix == ".yaml":
            return str(yaml.safe_load(path.read_text(encoding="utf-8")))
        trials = pd.read_csv(path)
        kept = trials[trials["state"] != "running"].drop(columns=["trial", "seconds"])
        return kept.to_csv(index=False)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tensors(path: Path) -> str:
    """Digest of a checkpoint without its training seconds."""
    checkpoint = read_checkpoint(path)
    digest = hashlib.sha256(repr(sorted(checkpoint.settings.items())).encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()

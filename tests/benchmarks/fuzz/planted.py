"""Targets with one defect each; the processes of the pool import them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.fuzz.target import Different, Target
from metaselector.common.errors import UserError


def _number(random: Random, folder: Path) -> None:
    (folder / "number").write_text(str(random.random()))


def _refuse(folder: Path) -> None:
    raise UserError(f"{folder.name}: is refused")


def _fail(folder: Path) -> None:
    raise KeyError((folder / "number").read_text())


def _differ(folder: Path) -> None:
    raise Different("1 is read as 2")


def _compute(folder: Path) -> None:
    while True:
        try:
            sum(range(10**6))
        except Exception:  # as careless code does
            continue


def _wait(folder: Path) -> None:
    time.sleep(60)


def _grow(folder: Path) -> None:
    np.ones(10_000_000).sum()  # 80 MB


def _ask_for_all(folder: Path) -> None:
    raise MemoryError("8 PiB")


def _end(folder: Path) -> None:
    os._exit(3)


def _hang(folder: Path) -> None:
    """Hang in native code, in which Python's signal handlers never run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGPROF])
    time.sleep(600)


READ: Mapping[str, Callable[[Path], object]] = {
    "success": lambda folder: float((folder / "number").read_text()),
    "refused": _refuse,
    "traceback": _fail,
    "different": _differ,
    "slow": _compute,
    "waits": _wait,
    "large": _grow,
    "asks": _ask_for_all,
    "crashed": _end,
    "hung": _hang,
}


def catalogue(world: Path) -> Mapping[str, Target]:
    return {
        name: Target(name, _number, read, seconds=5 if name == "large" else 0.1, megabytes=20)
        for name, read in READ.items()
    }

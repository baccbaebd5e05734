"""Find and wait for the worker processes of a command."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds worker processes through /proc of Linux"
)


def wait_for(run: Path, pattern: str) -> None:
    deadline = time.monotonic() + 120
    while not list(run.rglob(pattern)) and time.monotonic() < deadline:
        time.sleep(0.02)


def worker(run: Path, rank: int) -> int:
    """The process of a worker of this run."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            settings = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended, or belongs to another user
            continue
        if str(run).encode() in command and f"RANK={rank}".encode() in settings:
            return int(folder.name)
    raise AssertionError("there is no such worker")

"""Timing tasks in turns, and describing the machine they ran on."""

from __future__ import annotations

import gc
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import watch
from metaselector.common.errors import UserError
from metaselector.common.files import write_text
from metaselector.runs.environment import command, processor

LONG = 5.0
"""Tasks that take at least this many seconds are timed without an untimed call first."""


def interleaved(
    tasks: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 2,
    device: str = "cpu",
) -> dict[str, list[float]]:
    """Seconds of each call of each task. Tasks take turns, so a slow minute slows all of them.

    An untimed call precedes each timed one, so no task is timed with the caches and memory that
    another left behind. Tasks that take seconds skip it.

    Args:
        tasks: tasks to time, by name.
        repeats: timed calls of each task.
        warm_up: untimed rounds before the timed ones.
        device: device of the tasks; a GPU's queue is drained before the clock is read.
    """
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    gc.collect()
    gc.freeze()  # as the command line does
    last = dict.fromkeys(tasks, 0.0)
    for turn in range(-warm_up, repeats):
        for name, task in tasks.items():
            gc.collect()  # otherwise one task pays for another's garbage
            if last[name] < LONG:
                task()
            synchronize()
            started = time.perf_counter()
            task()
            synchronize()
            last[name] = time.perf_counter() - started
            if turn >= 0:
                seconds[name].append(last[name])
    gc.unfreeze()
    return seconds


def fastest(
    tasks: Mapping[str, Callable[[], object]], *, threads: Sequence[int], **settings: Any
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """As :func:`interleaved`, each task with each number of threads; the fastest one counts.

    Small operations are faster with one thread, large ones with several, so no single number is
    fair to all tasks.

    Returns:
        seconds of each task, and its number of threads.
    """

    def on(count: int, task: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            torch.set_num_threads(count)
            return task()

        return run

    before = torch.get_num_threads()
    each = {f"{count} {name}": on(count, task) for count in threads for name, task in tasks.items()}
    seconds = interleaved(each, **settings)
    torch.set_num_threads(before)
    best = {}
    for name in tasks:
        timed = {count: median(seconds[f"{count} {name}"]) for count in threads}
        best[name] = min(timed, key=timed.__getitem__)
    return {name: seconds[f"{count} {name}"] for name, count in best.items()}, best


def median(seconds: list[float]) -> float:
    """The median, since the mean of timings on a noisy machine says little."""
    return statistics.median(seconds)


class Cost(NamedTuple):
    """Cost of a command: seconds, peak memory in megabytes (10^6 bytes), and processor seconds.

    On a busy machine, processor seconds tell more than seconds.
    """

    seconds: float
    peak_mb: float
    cpu_seconds: float = 0.0


def cost(command: Sequence[str]) -> Cost:
    """Run `command` as a separate process and measure it from start to end.

    Pending writes are flushed to disk first, so the command does not pay for them.

    Raises:
        UserError: the command fails; the message ends with its standard error.
    """
    os.sync()
    done = subprocess.run(
        [sys.executable, "-I", "-S", watch.__file__, *command],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes, exit_code, cpu_seconds = done.stdout.split()
    if int(exit_code):
        raise UserError(f"`{shlex.join(command)}` failed: {done.stderr.strip()}")
    return Cost(float(seconds), int(kilobytes) * 1024 / 1e6, float(cpu_seconds))


def held(key: str) -> int:
    """Kilobytes that the kernel reports for this process: ``VmRSS``, ``RssAnon``, …

    Raises:
        OSError: the kernel is not Linux.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{key}:")))


def machine(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, torch threads and, if `device` is one, the GPU."""
    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "gpu": gpu,
    }


def versions(*packages: str) -> dict[str, str | None]:
    """Versions of Python, torch and `packages`; None if a package is not installed."""

    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {"python": platform.python_version()} | {
        name: installed(name) for name in ("torch", *packages)
    }


def save(path: Path, figures: Mapping[str, Any]) -> None:
    """Write `figures` as JSON with the command and the date, atomically.

    Absolute paths in the command are cut to their last part, as they mean nothing elsewhere.
    """
    write_text(path, json.dumps({**figures, **_when()}, indent=1) + "\n")


def save_in(path: Path, key: str, figures: Mapping[str, Any]) -> None:
    """As :func:`save`, under `key` of a file whose other keys stay."""
    others = json.loads(path.read_text("utf-8")) if path.exists() else {}
    write_text(path, json.dumps(others | {key: {**figures, **_when()}}, indent=1) + "\n")


def _when() -> dict[str, str]:
    words = [
        Path(word).name if Path(word).is_absolute() else word for word in shlex.split(command())
    ]
    return {"command": shlex.join(words), "date": datetime.now(UTC).isoformat(timespec="seconds")}

"""One worker process of :mod:`benchmarks.communication`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist

from benchmarks.communication_network import sent
from metaselector.common.files import write_text
from metaselector.common.progress import Silent
from metaselector.config import Config, change_config, load_config
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run
from metaselector.runs.stages.train import train_variant
from metaselector.training.distributed import workers
from metaselector.training.distributed.wire import Traffic

VARIANTS: tuple[Variant, ...] = ("sample-selector", "metaselector")
ALONE = "one process"
"""Name of training in a single process, beside the values of ``comm``."""
BARE = "all-reduce"
"""Name of bare all-reduces without training."""
SIZES = (8, 1_000_000, 4_000_000)
"""Bytes of the bare all-reduces."""
SETTLED = 10
"""Steps of a timed training that do not count; PowerSGD and local SGD start after them."""
TIMED = 32
"""Steps that count: two periods of ``local-sgd:16``."""


class Mark(NamedTuple):
    """Totals since the start, right after a step.

    Attributes:
        seconds: wall-clock time.
        cpu_seconds: processor time of this process.
        on_wire: bytes sent by the network interface.
        sent: bytes of tensors sent, as counted in training.
        gathered: bytes of this worker's own tensors in all-gathers.
        all_reduces, all_gathers: number of collectives.
        waiting: seconds in collectives.
    """

    seconds: float
    cpu_seconds: float
    on_wire: float
    sent: float
    gathered: float
    all_reduces: float
    all_gathers: float
    waiting: float


class Enough(Exception):
    """Ends a training once enough steps are timed."""


class Stopwatch(Silent):
    """Takes a mark after each step, and ends the training after `most` of them."""

    def __init__(self, link: str, traffic: Traffic, most: int | None = None) -> None:
        self.marks: list[Mark] = []
        self._most = most
        self._link, self._traffic = link, traffic

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Callable[[], None]]:
        yield self._mark

    def _mark(self) -> None:
        traffic = self._traffic
        clocks = time.perf_counter(), time.process_time()
        tensors = traffic.sent, traffic.gathered
        counts = float(traffic.all_reduces), float(traffic.all_gathers), traffic.seconds
        self.marks.append(Mark(*clocks, float(sent(self._link)), *tensors, *counts))
        if len(self.marks) == self._most:
            raise Enough


def run_of(base: Path, config: Config, way: str) -> Run:
    """The run of one way to communicate, with the base models of `base`."""
    folder = way.replace(":", "-").replace(" ", "-")
    comm = None if way == ALONE else way
    settings = change_config(config, {"meta_train.comm": comm})
    return Run(base / "communication" / folder, settings, parent=base)


def learned_before(run: Run, seed: int) -> dict[str, Any] | None:
    """The record that :func:`learn` saved, or None if a row is missing."""
    record = run.directory / f"steps-{seed}.json"
    if not record.exists() or not all(
        run.checkpoints.has_learned(variant, seed) for variant in VARIANTS
    ):
        return None
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return found


def learn(run: Run, seed: int, link: str) -> dict[str, Any]:
    """Train the missing rows to the end; return a record of the joint row's steps."""
    found = learned_before(run, seed)
    if found is not None:
        return found
    for variant in VARIANTS:
        traffic = Traffic()
        watch = Stopwatch(link, traffic)
        learned = train_variant(
            run, variant, seed, description=variant, progress=watch, traffic=traffic
        )
        if workers.is_main():
            run.checkpoints.save_learned(variant, seed, learned)
        workers.wait()
    per_epoch = -(-len(run.protocol.learners) // run.config.meta_train.users_per_batch)
    found = {
        "steps": traffic.steps,
        "sent": traffic.sent,
        "seconds": learned.seconds,
        "epochs": len(learned.history) - 1,
        "within": within_epochs(watch.marks, per_epoch),
    }
    if workers.is_main():
        write_text(run.directory / f"steps-{seed}.json", json.dumps(found))
    workers.wait()
    return found


def steps_of(marks: list[Mark], per_epoch: int) -> list[list[float]]:
    """Increase of each field per step, without the steps right after a validation."""
    pairs = enumerate(pairwise(marks), start=1)
    return [
        [b - a for a, b in zip(before, after, strict=True)]
        for i, (before, after) in pairs
        if i % per_epoch
    ]


def within_epochs(marks: list[Mark], per_epoch: int) -> dict[str, float]:
    """Means over :func:`steps_of`, by field."""
    means = np.mean(steps_of(marks, per_epoch), axis=0)
    return dict(zip(Mark._fields, means.tolist(), strict=True))


def time_steps(run: Run, users: int, seed: int, link: str) -> list[list[float]]:
    """Fields of :class:`Mark` for each step of joint meta-training with `users` per meta-batch."""
    settings = change_config(run.config, {"meta_train.users_per_batch": users})
    timed = Run(run.directory, settings, parent=run.parent)
    traffic = Traffic()
    watch = Stopwatch(link, traffic, most=SETTLED + TIMED)
    with suppress(Enough):
        train_variant(
            timed,
            "metaselector",
            seed,
            warm_start=False,
            description="metaselector",
            progress=watch,
            traffic=traffic,
        )
    per_epoch = -(-len(timed.protocol.learners) // users)
    return steps_of(watch.marks, per_epoch)[SETTLED:]


def time_all_reduces() -> list[tuple[int, float]]:
    """Seconds of an all-reduce of each of :data:`SIZES`; the fastest of several series."""
    found = []
    for size in SIZES:
        tensor, rows = torch.zeros(size // 4), []
        for _ in range(6):
            workers.wait()
            started = time.perf_counter()
            for _ in range(4):
                dist.all_reduce(tensor)
            rows.append((time.perf_counter() - started) / 4)
        found.append((size, min(rows)))
    return found


def main(request: Path) -> None:
    """Carry out the request; the main worker writes the results beside it."""
    asked = json.loads(request.read_text(encoding="utf-8"))
    config = load_config(Path(asked["config"]), changes={"seeds": asked["seeds"]})
    torch.set_num_threads(1)
    base = Path(asked["base"])
    found: list[Any] = []
    with workers.joined(config.device):
        for job in asked["jobs"]:
            if job["way"] == BARE:
                found.append(time_all_reduces())
                continue
            run = run_of(base, config, job["way"])
            if job["users"] is None:
                found.append(learn(run, job["seed"], asked["link"]))
            else:
                steps = time_steps(run, job["users"], job["seed"], asked["link"])
                found.append({"steps": steps})
        if workers.is_main():
            write_text(request.with_suffix(".found"), json.dumps(found))
        workers.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

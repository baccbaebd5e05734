"""Processes that try inputs; one that ends or hangs is replaced."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from benchmarks.fuzz.attempt import WAITING, Kind, Outcome, limit_memory, try_input
from benchmarks.fuzz.target import Target

Catalogue = Callable[[Path], Mapping[str, Target]]
"""A module-level function that returns all targets, given the folder of the world."""

_CONTEXT = multiprocessing.get_context("forkserver")
_START_SECONDS = 300.0
_GRACE = 30.0
"""Seconds beyond the limits of :func:`try_input` after which a process is killed, since signals do
not interrupt native code."""


class Job(NamedTuple):
    """Some inputs of a target, by their numbers."""

    target: str
    numbers: tuple[int, ...]


class Tried(NamedTuple):
    """An input and its outcome."""

    target: str
    number: int
    outcome: Outcome


def try_all(
    jobs: Iterable[Job], catalogue: Catalogue, world: Path, *, seed: int, processes: int
) -> Iterator[Tried]:
    """Try all inputs of `jobs`, in any order.

    Args:
        catalogue: called in each process.
        world: argument of `catalogue`.
        seed: seed of all inputs.
        processes: number of processes.
    """
    targets = catalogue(world)
    waiting = iter(jobs)
    _CONTEXT.set_forkserver_preload([__name__, catalogue.__module__])
    workers = [_Worker(catalogue, world, seed) for _ in range(processes)]
    try:
        while workers:
            for worker in workers:
                if worker.job is None and (job := next(waiting, None)):
                    worker.give(job)
            workers = [w for w in workers if w.job is not None or not w.end()]
            ready = wait([worker.pipe for worker in workers], timeout=1.0)
            for place, worker in enumerate(workers):
                try:
                    if worker.pipe in ready:
                        yield from worker.receive()
                        continue
                    ended: Kind | None = "hung" if worker.overdue(targets) else None
                except (EOFError, ConnectionResetError):
                    ended = "crashed"
                if ended:
                    yield worker.lost(ended)
                    workers[place] = worker.replaced()
    finally:
        for worker in workers:
            worker.end()


@dataclass
class _Worker:
    """A process and its current job."""

    catalogue: Catalogue
    world: Path
    seed: int
    job: Job | None = None
    done: int = 0
    is_ready: bool = False
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self.pipe, theirs = _CONTEXT.Pipe()
        arguments = (theirs, self.catalogue, self.world, self.seed, self.scratch)
        self.process = _CONTEXT.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        self.job, self.done, self.since = job, 0, time.monotonic()
        self.pipe.send(job)

    def receive(self) -> Iterator[Tried]:
        """Read that the process is ready, or an outcome; raise EOFError if it has ended."""
        found = self.pipe.recv()
        self.since = time.monotonic()
        if not self.is_ready:
            self.is_ready = True
            return
        assert self.job is not None
        yield Tried(self.job.target, self.job.numbers[self.done], found)
        self.done += 1
        if self.done == len(self.job.numbers):
            self.job = None

    def overdue(self, targets: Mapping[str, Target]) -> bool:
        allowed = _START_SECONDS
        if self.is_ready and self.job is not None:
            allowed = 2 * WAITING * targets[self.job.target].seconds + _GRACE
        return time.monotonic() - self.since > allowed

    def lost(self, kind: Kind) -> Tried:
        """Kill the process and blame the input that it was trying."""
        self.process.kill()
        self.process.join()
        if not self.is_ready or self.job is None:
            raise RuntimeError(f"a process ended by itself (exit code {self.process.exitcode})")
        said = f"exit code {self.process.exitcode}" if kind == "crashed" else "was killed"
        seconds = time.monotonic() - self.since
        number = self.job.numbers[self.done]
        return Tried(self.job.target, number, Outcome(kind, said, seconds=seconds))

    def replaced(self) -> _Worker:
        """A new worker for the rest of the job."""
        self.end()
        other = _Worker(self.catalogue, self.world, self.seed)
        assert self.job is not None
        rest = self.job.numbers[self.done + 1 :]
        if rest:
            other.give(self.job._replace(numbers=rest))
        return other

    def end(self) -> bool:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        return True


def _work(pipe: Connection, catalogue: Catalogue, world: Path, seed: int, scratch: Path) -> None:
    """Main loop of a process: job after job, one answer per input."""
    import torch

    torch.set_num_threads(1)
    # Silence output, including that of libraries that write to the descriptors directly.
    silent = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silent, descriptor)
    os.chdir(scratch)
    tempfile.tempdir = str(scratch)
    targets = catalogue(world)
    limit_memory()
    pipe.send("ready")
    while True:
        job: Job = pipe.recv()
        for number in job.numbers:
            pipe.send(try_input(targets[job.target], seed, number, scratch / "input"))

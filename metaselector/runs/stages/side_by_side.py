"""Train and predict parts of a run side by side, in processes of one thread each.

A :class:`~metaselector.runs.stages.parts.Part` starts when those that it depends on are saved. Each
process opens the run itself and reads checkpoints from its directory, so only names are sent to it.
What a part computes does not depend on what runs beside it: results equal those of one process with
one thread, bit for bit.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NamedTuple

import torch

from metaselector.common.errors import ConfigError, UserError
from metaselector.common.progress import Progress, Silent
from metaselector.runs.run import Run
from metaselector.runs.stage_costs import Measured, peak_mb, reset_peak
from metaselector.runs.stages.evaluate import Tested
from metaselector.runs.stages.parts import Part, parts_of, tested
from metaselector.runs.stages.train import (
    check_pretraining,
    frozen_imports,
    pretrain_base_models,
    try_untrained,
)
from metaselector.training.distributed.launch import launched
from metaselector.training.loop.interruption import Interrupted


class _Told(Silent):
    """Keeps what a training tells, as method and arguments, for the main process to pass on."""

    def __init__(self) -> None:
        self.events: list[tuple[str, tuple[Any, ...]]] = []

    def skipped(self, description: str) -> None:
        self.events.append(("skipped", (description,)))

    def note(self, text: str) -> None:
        self.events.append(("note", (text,)))

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        self.events.append(("log", (part, dict(values))))


class _Done(NamedTuple):
    """What a process sends back: a value, or the message of a user's mistake.

    Attributes:
        costs: seconds and peak memory of its tasks, by description.
        seconds, peak: of all of it.
    """

    value: Any
    mistake: str | None
    events: list[tuple[str, tuple[Any, ...]]]
    costs: dict[str, tuple[float, float]]
    seconds: float
    peak: float


_opened: list[Run] = []
"""The run of this process."""


def _open(run: Run) -> None:
    """Begin a process: it has one thread, and ends when the main process is gone.

    Ctrl-C reaches the main process only, which tells the others to stop.
    """
    torch.set_num_threads(1)
    os.setsid()
    # If a process without work died of it, the pool would end those that are still saving.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main = parent_process()
    assert main is not None
    threading.Thread(target=_end_after, args=(main,), daemon=True).start()
    _opened.append(run)


def _end_after(main: BaseProcess) -> None:
    main.join()
    os._exit(1)


def _work(part: Part) -> _Done:
    """Do a part of this process's run."""
    told, started = _Told(), time.perf_counter()
    measured = Measured(told, None)
    reset_peak()
    value = mistake = None
    try:
        signal.signal(signal.SIGTERM, _interrupt)
        with frozen_imports():
            value = part.do(_opened[0], measured)
    except UserError as error:
        mistake = str(error)
    except KeyboardInterrupt as error:  # the main process waits for this one to end
        mistake = str(error)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    peak = max([peak_mb(), *(of_task for _, of_task in measured.costs.values())])
    seconds = time.perf_counter() - started
    return _Done(value, mistake, told.events, measured.costs, seconds, peak)


@dataclass(frozen=True)
class SideBySide:
    """Processes that work on one run; :func:`side_by_side` starts and ends them.

    Attributes:
        run: its directory is locked by the caller.
        pool: the processes.
        progress: where to report progress.
    """

    run: Run
    pool: ProcessPoolExecutor
    progress: Progress

    def pretrain(self) -> None:
        """Do all trainings of base models whose checkpoints do not exist.

        Raises:
            UserError: a training failed, or its process was killed.
        """
        self._check()
        self.do([part for part in parts_of(self.run) if part.kind == "pretrain"])

    def meta_train(self) -> None:
        """As :meth:`pretrain`, all meta-trainings, above base models that are trained."""
        try_untrained(self.run, self.run.variants)
        self.do([part for part in parts_of(self.run) if part.kind == "meta-train"])

    def train_and_test(self) -> Tested:
        """Do both, and predict *test*. A part begins when those that it needs are done."""
        self._check()
        return tested(self.run, self.do(parts_of(self.run), "train and test side by side"))

    def _check(self) -> None:
        check_pretraining(self.run, self.progress)
        if self.run.source is not None:
            pretrain_base_models(self.run, self.progress)  # transfer.csv has one writer

    def do(self, parts: Sequence[Part], description: str = "train side by side") -> dict[str, Any]:
        """Do these parts; others that they depend on are done.

        Returns:
            the values of those that do not train, by name.
        """
        names = {part.name for part in parts}
        done: set[str] = set()
        values: dict[str, Any] = {}
        running: dict[Future[_Done], Part] = {}
        with self.progress.task(description, len(parts)) as advance:
            while len(done) < len(parts):
                begun = done | {part.name for part in running.values()}
                ready = [p for p in parts if p.after & names <= done and p.name not in begun]
                for part in ready[: self.run.config.jobs - len(running)]:
                    running[self._submit(part)] = part
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    part = running.pop(future)
                    found = self._result(future)
                    if not part.trains:
                        values[part.name] = found.value
                        stage = "support curve" if part.kind == "support curve" else "evaluate"
                        self._include({stage: (found.seconds, found.peak)})
                    if not any(kind == "skipped" for kind, _ in found.events):
                        self.progress.note(f"{part.name:<48} {found.seconds:,.0f} s")
                    done.add(part.name)
                    advance()
        return values

    def _submit(self, part: Part) -> Future[_Done]:
        try:
            return self.pool.submit(_work, part)
        except BrokenProcessPool as error:
            raise UserError(_KILLED) from error

    def _result(self, future: Future[_Done]) -> _Done:
        try:
            found = future.result()
        except BrokenProcessPool as error:
            raise UserError(_KILLED) from error
        for method, arguments in found.events:
            getattr(self.progress, method)(*arguments)
        self._include(found.costs)
        if found.mistake is not None:
            raise UserError(found.mistake)
        return found

    def _include(self, costs: dict[str, tuple[float, float]]) -> None:
        if isinstance(self.progress, Measured):
            self.progress.include(costs)


def check_alone(run: Run) -> None:
    """Raise a ConfigError if this process is one of several workers."""
    if launched():
        raise ConfigError(
            f"jobs={run.config.jobs}: cannot be combined with --workers; add --jobs 1, or leave "
            "--workers out"
        )


_KILLED = (
    "a process was killed, perhaps for lack of memory; what was finished is saved: run the same "
    "command again, with fewer --jobs"
)


@contextmanager
def side_by_side(run: Run, progress: Progress) -> Iterator[SideBySide]:
    """Start as many processes as the setting ``jobs`` says.

    After an error, Ctrl-C or SIGTERM, trainings stop at the end of a step, save a snapshot, and
    nothing else begins. A second Ctrl-C ends them at once.

    Args:
        run: its data is prepared, and its directory is locked by the caller.
        progress: where to report progress.

    Raises:
        ConfigError: this process is one of several workers.
    """
    check_alone(run)
    pool = ProcessPoolExecutor(
        run.config.jobs,
        mp_context=get_context("spawn"),
        initializer=_open,
        initargs=(Run(run.directory, run.config, run.parent),),
    )
    others = set(active_children())
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield SideBySide(run, pool, progress)
    except BaseException:
        _stop(others)
        raise
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            _stop(others)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number, None)


def _stop(others: set[BaseProcess]) -> None:
    """Send SIGTERM to the processes of this process, except `others`."""
    for process in set(active_children()) - others:
        process.terminate()

"""Report progress, notes and metrics of long steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol, Self

from metaselector.common.streams import console, tell
from metaselector.common.text import printable

if TYPE_CHECKING:
    from rich.console import Console

SECONDS = 60.0
"""Seconds between two lines about a task in a log."""

Advance = Callable[[], None]
"""Call it after each unit of work."""


class Progress(Protocol):
    """Reports the progress of long steps."""

    def task(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Start a step of `total` units of work."""

    def skipped(self, description: str) -> None:
        """Report that a step is complete and its result is reused."""

    def note(self, text: str) -> None:
        """Report something that the user may want to act on."""

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        """Log metrics of training, such as the losses of an epoch; `part` names what is trained."""


class Silent:
    """Reports nothing; the default of the library."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        yield lambda: None

    def skipped(self, description: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        pass


class Bars:
    """Shows how far a task is, the time left and the current loss, on standard error.

    On a terminal that is a bar. Elsewhere, as in a log file, it is a line a minute and a last one.
    The time left is what all steps would take; training may stop early.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, _Task] = {}

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        err = console(err=True)
        task = _Bar(description, total, err) if err.is_terminal else _Lines(description, total)
        self._tasks[description] = task
        try:
            with task:
                yield task.advance
        finally:
            del self._tasks[description]

    def skipped(self, description: str) -> None:
        tell(f"{description:<38} already done with the same settings")

    def note(self, text: str) -> None:
        tell(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        task = self._tasks.get(part)
        if task is not None:
            # At the end of an epoch, what counts is the loss on valid.
            for key, name in (("valid_loss", "valid loss"), ("loss", "loss")):
                if isinstance(values.get(key), float):
                    task.show(f"{name} {values[key]:.4f}")
                    break


class _Task(Protocol):
    """A task on the screen or in a log."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    def advance(self) -> None: ...

    def show(self, loss: str) -> None: ...


class _Bar:
    def __init__(self, description: str, total: int, err: Console) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:<38}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[loss]}", markup=False),
        )
        self._bars = Progress(*columns, console=err)
        self._task = self._bars.add_task(printable(description), total=total, loss="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: object = None, *raised: object) -> None:
        if kind is not None:
            self._bars.update(self._task, visible=False)  # the error message replaces it
        else:  # after early stopping, show the actual number of steps as the total
            self._bars.update(self._task, total=self._bars.tasks[0].completed)
        self._bars.stop()

    def advance(self) -> None:
        self._bars.advance(self._task)

    def show(self, loss: str) -> None:
        self._bars.update(self._task, loss=loss)


class _Lines:
    """A line every :data:`SECONDS`, from a thread of its own, as one step may take longer."""

    def __init__(self, description: str, total: int) -> None:
        self._description, self._total, self._done, self._loss = description, total, 0, ""
        self._began = time.monotonic()
        self._last = (self._began, 0)
        self._ended = Event()
        self._thread = Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object = None, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        if kind is None:
            now = time.monotonic()
            self._tell(f"{self._done}/{self._done} {_clock(now - self._began)}")

    def advance(self) -> None:
        self._done += 1

    def show(self, loss: str) -> None:
        self._loss = loss

    def _repeat(self) -> None:
        while not self._ended.wait(SECONDS):
            now, done = time.monotonic(), self._done
            left = ""
            before, earlier = self._last  # steps that a resumed run repeats count once
            if done > earlier:
                rate = (done - earlier) / (now - before)
                left = f", {_clock((self._total - done) / rate)} left"
                self._last = (now, done)
            self._tell(f"{done}/{self._total} {_clock(now - self._began)}{left}")

    def _tell(self, text: str) -> None:
        loss = f", {self._loss}" if self._loss else ""
        tell(f"{self._description:<38} {text}{loss}")


def _clock(seconds: float) -> str:
    """``h:mm:ss``.

    Example:
        >>> _clock(3725.2)
        '1:02:05'
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}"

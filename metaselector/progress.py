"""Progress bars for every step that may take longer than two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Says how far a long step is."""

    def task(self, description: str, total: int) -> AbstractTask:
        """A context manager that yields a function to call after each of `total` pieces of work."""


class AbstractTask(Protocol):
    def __enter__(self) -> Callable[[], None]: ...

    def __exit__(self, *error: object) -> None: ...


class Silent:
    """Shows nothing: the default of the library."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Callable[[], None]]:
        yield lambda: None


class Bars:
    """One rich progress bar a task, on standard error; one line a finished task without a terminal."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Callable[[], None]]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description:<38}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with RichProgress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(description, total=total)
            yield lambda: bars.advance(task)
            # Early stopping ends before the total; the bar then shows what was needed.
            bars.update(task, total=bars.tasks[0].completed)

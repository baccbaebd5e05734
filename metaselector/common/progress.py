"""Report progress, notes and metrics of long steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from metaselector.common.streams import console, tell
from metaselector.common.text import printable

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
    """Shows a rich progress bar per task on standard error, or a final line without a terminal."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description:<38}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with RichProgress(*columns, console=console(err=True)) as bars:
            task = bars.add_task(printable(description), total=total)
            try:
                yield lambda: bars.advance(task)
            except BaseException:
                bars.update(task, visible=False)  # the error message replaces it
                raise
            # After early stopping, show the actual number of steps as the total.
            bars.update(task, total=bars.tasks[0].completed)

    def skipped(self, description: str) -> None:
        tell(f"{description:<38} already done with the same settings")

    def note(self, text: str) -> None:
        tell(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        pass

"""Progress bars for every step that may take longer than two seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from metaselector.common.streams import console, tell
from metaselector.common.text import printable

Advance = Callable[[], None]
"""Called after each piece of work."""


class Progress(Protocol):
    """Says how far a long step is."""

    def task(self, description: str, total: int) -> AbstractContextManager[Advance]:
        """Open a step of `total` pieces of work."""

    def skipped(self, description: str) -> None:
        """Say that a step was done before and its result is used again."""

    def note(self, text: str) -> None:
        """Say something that the user may want to act on."""

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        """Take down numbers of a training, such as the losses of an epoch; `part` says which."""


class Silent:
    """Shows nothing: the default of the library."""

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
    """One rich progress bar a task, on standard error; without a terminal, a line when it ends."""

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
                bars.update(task, visible=False)  # what went wrong is said in its place
                raise
            # Early stopping ends before the total; the bar then shows what was needed.
            bars.update(task, total=bars.tasks[0].completed)

    def skipped(self, description: str) -> None:
        tell(f"{description:<38} done before with the same settings")

    def note(self, text: str) -> None:
        tell(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        pass

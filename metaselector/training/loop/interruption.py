"""Ctrl-C and SIGTERM stop training at the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """Training stopped between two steps because of a signal.

    Args:
        number: the signal's number.
        kept: the snapshot to resume from, if one was saved.
    """

    def __init__(self, number: int, kept: Path | None) -> None:
        self.number, self.kept = number, kept
        super().__init__(f"interrupted; {'nothing' if kept is None else kept} was saved")


@contextmanager
def interruptible() -> Iterator[Callable[[], int | None]]:
    """Yield a function that returns the signal received so far, or None.

    A second signal raises KeyboardInterrupt at once. Python handles signals in the main thread
    only, so in any other thread this does nothing.
    """
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0] if asked else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

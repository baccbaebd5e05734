"""Ctrl-C and SIGTERM wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A training was asked to stop, and did, between two steps.

    Args:
        number: of the signal.
        kept: the file from which it goes on, if it is one that is kept.
    """

    def __init__(self, number: int, kept: Path | None) -> None:
        self.number, self.kept = number, kept
        super().__init__(f"interrupted; {'nothing' if kept is None else kept} was saved")


@contextmanager
def interruptible() -> Iterator[Callable[[], int | None]]:
    """Yield a function that says which signal has asked for an end, if any.

    A second one does not wait. Outside of the main thread signals are left alone, as Python has it.
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

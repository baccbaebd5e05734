"""Prefetch the items of an iterator in a background thread."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Queue
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Marks the end of the queue, with the error that ended the iteration, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield `items`, computing the next one while the caller works on the current one.

    This helps only if `items` releases the interpreter lock, as reading, sorting and parsing do.
    An error in `items` is raised here, in order. The thread ends if the caller stops early.
    """
    made: Queue[T | _End] = Queue(maxsize=1)
    stopped = threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                made.put(item)
                if stopped.is_set():
                    return
        except BaseException as raised:  # handed to the caller, whatever it is
            error = raised
        made.put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        while thread.is_alive():  # it may be waiting for space in the queue
            if not made.empty():
                made.get()
            thread.join(timeout=0.01)

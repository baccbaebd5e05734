"""An iterator that works ahead in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Queue
from typing import TypeVar

T = TypeVar("T")


class _End:
    """Comes after the last item, with what ended the iteration."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield `items`, making the next one while the caller works on the last one.

    What `items` does must release the interpreter's lock to be of use: reading, sorting, parsing.
    An error in `items` is raised here in its place. A caller that stops early ends the thread.
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
        while thread.is_alive():  # it may wait for room
            if not made.empty():
                made.get()
            thread.join(timeout=0.01)

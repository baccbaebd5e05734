"""Work ahead of a loop in background threads, in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import TypeVar

T = TypeVar("T")
Made = TypeVar("Made")
CORES = min(os.cpu_count() or 1, 8)
"""Most items that :func:`each_ahead` works on at a time; more would need more memory."""


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


def each_ahead(
    work: Callable[[T], Made], items: Iterable[T], threads: int = CORES
) -> Iterator[Made]:
    """Apply `work` to each item, to several at a time, and yield the results in order.

    This helps only if `work` releases the interpreter lock, as for :func:`ahead`. Items are taken
    in the caller's thread, at most ``threads + 1`` ahead. An error is raised here, in order.

    Example:
        >>> list(each_ahead(str.upper, "ab"))
        ['A', 'B']
    """
    pool = ThreadPoolExecutor(threads)
    try:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Not waited for: what is given up may be collected in one of these threads.
        pool.shutdown(wait=False, cancel_futures=True)

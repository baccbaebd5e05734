"""Prefetching in a background thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from metaselector.data.ahead import ahead, each_ahead


@pytest.mark.parametrize("n", [0, 1, 5])
def test_the_items_come_in_their_order(n: int) -> None:
    assert list(ahead(iter(range(n)))) == list(range(n))


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("mine")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="mine"):
        next(found)


@pytest.mark.parametrize("taken", [1, 2])
def test_a_caller_that_stops_ends_the_thread(taken: int) -> None:
    before = threading.active_count()
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    found = ahead(items())
    for _ in range(taken):
        next(found)
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(made) < 100


def test_the_next_item_is_made_meanwhile() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    found = ahead(items())
    assert next(found) == 1
    assert second.wait(timeout=10)
    assert list(found) == [2]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 20])
def test_results_come_in_the_order_of_their_items(n: int, threads: int) -> None:
    wait = {0: 0.05, 3: 0.02}

    def work(item: int) -> int:
        time.sleep(wait.get(item, 0))  # those after them are done first
        return -item

    assert list(each_ahead(work, iter(range(n)), threads)) == [-item for item in range(n)]


def test_several_items_are_worked_on_at_a_time() -> None:
    together = threading.Barrier(3, timeout=10)
    assert len(list(each_ahead(lambda _: together.wait(), range(3), 3))) == 3


def test_few_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            taken.append(i)
            yield i

    found = each_ahead(str, items(), 2)
    assert next(found) == "0"
    assert len(taken) == 3


def test_an_error_of_the_work_comes_in_its_place() -> None:
    found = each_ahead(lambda item: 1 // item, iter([1, 0, 1]), 2)
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)

"""Prefetching in a background thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from metaselector.data.preparation.prefetch import ahead


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

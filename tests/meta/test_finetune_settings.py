"""The search for the settings of the fair rival."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from metaselector.meta import finetune_settings
from metaselector.meta.finetune import PASSES
from metaselector.meta.finetune_settings import LADDERS, Choice, Search
from tests.meta.bowls import TARGET, bowl, places, valley


@pytest.fixture(autouse=True)
def _whole_ladders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what spares whole runs the search."""
    monkeypatch.setattr(finetune_settings, "LADDERS", LADDERS)


def search(
    loss: Callable[[Choice], float], start: Choice, passes: int = PASSES
) -> tuple[Choice, float]:
    found = Search(loss, start)
    lowest = found.go(passes)
    return found.best, lowest


@pytest.mark.parametrize(
    "target",
    [
        TARGET,
        Choice(*(ladder[0] for ladder in LADDERS)),  # type: ignore[index]
        Choice(*(ladder[-1] for ladder in LADDERS)),  # type: ignore[index]
        Choice(),
    ],
    ids=["inside", "first", "last", "start"],
)
def test_the_minimum_of_a_bowl_is_found(target: Choice) -> None:
    """Also at the ends of the ladders, however far from the start."""
    assert search(bowl(target), Choice()) == (target, 0.0)


def test_the_start_is_on_the_ladders() -> None:
    assert (places(Choice()) > 0).all()


def test_nothing_is_computed_twice_or_far_away() -> None:
    """From the minimum, only its neighbours are looked at."""
    asked: list[Choice] = []

    def loss(choice: Choice) -> float:
        asked.append(choice)
        return bowl(TARGET)(choice)

    search(loss, TARGET)
    assert len(asked) == len(set(asked))
    away = [np.abs(places(choice) - places(TARGET)).sum() for choice in asked]
    assert sorted(away) == [0, *[1] * (len(asked) - 1)]
    assert len(asked) == 1 + 2 * len(LADDERS) - 1  # one setting of the target is at an end


def test_no_value_is_as_good_as_a_tie() -> None:
    assert search(lambda choice: 1.0, Choice()) == (Choice(), 1.0)


@pytest.mark.parametrize(("passes", "expected"), [(1, (2, 3)), (PASSES, (3, 4))])
def test_the_search_ends_after_the_last_pass(passes: int, expected: tuple[int, int]) -> None:
    found, loss = search(valley, Choice(), passes)
    steps, *_, prior_rows = places(found)
    assert (steps, prior_rows) == expected
    assert loss == valley(found)


def test_a_search_that_goes_on_ends_where_it_would_have_ended() -> None:
    stopped = Search(valley, Choice())
    losses = [stopped.go(1) for _ in range(PASSES)]
    assert (stopped.best, losses[-1]) == search(valley, Choice())
    assert losses[0] > losses[-1]

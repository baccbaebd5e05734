"""Races between candidates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.meta.race import Race

USERS = 1000


def episodes(users: int) -> EpisodeRows:
    """Users with one to three query rows each, which are numbered."""
    sizes = 1 + np.arange(users) % 3
    query = np.full((users, 3), -1)
    query[np.arange(3) < sizes[:, None]] = np.arange(sizes.sum())
    return EpisodeRows(np.arange(users), query, query)


def candidate(losses: np.ndarray) -> Callable[[EpisodeRows], np.ndarray]:
    return lambda block: losses[block.flat("query")[0]]


@pytest.fixture
def noise() -> np.ndarray:
    """Losses of a candidate, by row."""
    return np.random.default_rng(0).normal(1, 0.5, 2 * USERS)


def test_the_loss_is_the_mean_over_all_rows(noise: np.ndarray) -> None:
    rows, _ = episodes(USERS).flat("query")
    found = Race(episodes(USERS)).run(candidate(noise))
    assert found == pytest.approx(noise[rows].mean(), abs=1e-12)


def test_a_clearly_worse_candidate_is_given_up_after_the_first_block(noise: np.ndarray) -> None:
    race, asked = Race(episodes(USERS)), []
    race.run(candidate(noise))

    def worse(block: EpisodeRows) -> np.ndarray:
        asked.append(len(block.users))
        return candidate(noise + 0.1)(block)

    assert race.run(worse) == math.inf
    assert asked == [125]


def test_a_candidate_that_could_be_better_sees_all_users(noise: np.ndarray) -> None:
    """Its difference is small beside its noise."""
    race = Race(episodes(USERS))
    race.run(candidate(noise))
    other = noise + np.random.default_rng(1).normal(0.001, 0.5, len(noise))
    assert math.isfinite(race.run(candidate(other)))


def test_the_best_stays_the_one_to_beat(noise: np.ndarray) -> None:
    race = Race(episodes(USERS))
    race.run(candidate(noise))
    race.run(candidate(noise + 0.00001 * np.arange(len(noise)) % 2))  # not better
    assert race.run(candidate(noise - 0.1)) < 1
    assert race.run(candidate(noise)) == math.inf


def test_few_users_are_never_judged(noise: np.ndarray) -> None:
    race = Race(episodes(60))
    assert math.isfinite(race.run(candidate(noise)))
    assert math.isfinite(race.run(candidate(noise + 10)))


def test_it_finds_what_a_full_comparison_finds(noise: np.ndarray) -> None:
    """Of many candidates around the best one, one after another."""
    generator = np.random.default_rng(2)
    rows, _ = episodes(USERS).flat("query")
    candidates = [
        noise + generator.normal(shift, 0.1, len(noise)) for shift in np.linspace(-0.02, 0.02, 40)
    ]
    generator.shuffle(candidates)
    race = Race(episodes(USERS))
    found = [race.run(candidate(losses)) for losses in candidates]
    means = [losses[rows].mean() for losses in candidates]
    assert np.argmin(found) == np.argmin(means)
    assert sum(map(math.isinf, found)) > 10

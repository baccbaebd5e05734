"""Some users of many."""

from __future__ import annotations

import numpy as np

from metaselector.data.splitting.drawn import drawn, some_users
from metaselector.data.splitting.episodes import EpisodeRows


def rows(users: list[int]) -> EpisodeRows:
    n = len(users)
    return EpisodeRows(np.array(users), np.arange(n)[:, None], np.arange(n)[:, None] + n)


def test_who_is_drawn_of_many_is_drawn_of_fewer() -> None:
    many = np.arange(100)
    found = drawn(many, 10)
    assert len(found) == 10
    assert (np.diff(found) > 0).all()
    fewer = np.union1d(found, many[::7])
    assert drawn(fewer, 10).tolist() == found.tolist()
    assert set(drawn(many, 5)) < set(found)
    assert drawn(many, None) is many


def test_few_users_are_all_taken() -> None:
    every = rows([0, 0, 3])
    assert some_users(every, 2) is every


def test_users_are_taken_with_all_their_episodes_and_the_same_ones_again() -> None:
    every = rows([5, 5, 1, 2, 9, 9, 9])
    found = some_users(every, 2)
    assert len(np.unique(found.users)) == 2
    for user in np.unique(found.users):
        assert (found.users == user).sum() == (every.users == user).sum()
    np.testing.assert_array_equal(some_users(every, 2).query, found.query)
    some = some_users(rows(list(range(1000))), 500)
    assert 200 < some.users.mean() < 800

"""Histories look strictly backwards, and stop at the test window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.data.history import Histories, histories


def of(offsets: Any, times: Any, positive: Any, frozen: Any) -> Histories:
    return histories(
        np.array(offsets), np.array(times), np.array(positive, dtype=bool), np.array(frozen)
    )


def test_the_latest_positives_newest_first() -> None:
    past = of([0, 5], [1, 2, 3, 4, 5], [1, 0, 1, 1, 0], [5])
    assert past.latest(2).tolist() == [[-1, -1], [0, -1], [0, -1], [2, 0], [3, 2]]


def test_rows_of_the_same_time_do_not_see_each_other() -> None:
    past = of([0, 4], [1, 2, 2, 3], [1, 1, 1, 1], [4])
    assert past.latest(3).tolist() == [[-1, -1, -1], [0, -1, -1], [0, -1, -1], [2, 1, 0]]


def test_rows_of_the_test_window_see_what_came_before_it() -> None:
    past = of([0, 5], [1, 2, 3, 4, 5], [1, 1, 1, 1, 1], [3])
    assert past.latest(5)[2:].tolist() == [[1, 0, -1, -1, -1]] + 2 * [[2, 1, 0, -1, -1]]


def test_a_tie_across_the_start_of_the_test_window_stays_unseen() -> None:
    """Positions 2 and 3 share a time, and the window starts between them."""
    past = of([0, 5], [1, 2, 3, 3, 4], [1, 1, 1, 1, 1], [3])
    assert past.latest(3)[2:].tolist() == [[1, 0, -1], [1, 0, -1], [2, 1, 0]]


def test_users_do_not_see_each_other() -> None:
    """Not even where the last time of one is the first of the next."""
    past = of([0, 2, 4], [1, 2, 2, 3], [1, 1, 1, 1], [2, 4])
    assert past.latest(2).tolist() == [[-1, -1], [0, -1], [-1, -1], [2, -1]]


def test_without_any_positive() -> None:
    past = of([0, 2], [1, 2], [0, 0], [2])
    assert past.latest(2).tolist() == [[-1, -1], [-1, -1]]
    assert past.mean(np.ones((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_mean_of_the_history_by_hand() -> None:
    past = of([0, 3], [1, 2, 3], [1, 1, 1], [3])
    features = np.array([[1.0, 0.0], [0.5, 0.25], [9.0, 9.0]])
    assert past.mean(features) == pytest.approx(np.array([[0, 0], [1, 0], [0.75, 0.125]]))


rows = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12)


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=3), st.data())
def test_equals_a_loop_over_rows(users: list[list[tuple[int, bool]]], data: st.DataObject) -> None:
    users = [sorted(user, key=lambda row: row[0]) for user in users]
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])])
    frozen = [
        start + data.draw(st.integers(0, len(user)))
        for start, user in zip(offsets, users, strict=False)
    ]
    flat = [row for user in users for row in user]
    features = np.arange(len(flat), dtype=float)[:, None] / len(flat)
    past = of(offsets, [t for t, _ in flat], [liked for _, liked in flat], frozen)
    latest, mean = past.latest(len(flat)), past.mean(features)
    for user, start in enumerate(offsets[:-1]):
        for row in range(start, offsets[user + 1]):
            visible = [
                earlier
                for earlier in range(start, min(row, frozen[user]))
                if flat[earlier][1] and flat[earlier][0] < flat[row][0]
            ]
            assert [i for i in latest[row] if i >= 0] == visible[::-1]
            expected = features[visible, 0].mean() if visible else 0
            assert mean[row, 0] == pytest.approx(expected, abs=1e-9)


def test_not_one_bit_of_a_mean_depends_on_other_users() -> None:
    """Running sums in floating point would carry their rounding from user to user."""
    generator = np.random.default_rng(0)
    features = 1 / generator.integers(1, 7, size=(600, 1))
    times = np.concatenate([np.arange(500), np.arange(100)])
    together = of([0, 500, 600], times, np.ones(600), [500, 600]).mean(features)[500:]
    alone = of([0, 100], np.arange(100), np.ones(100), [100]).mean(features[500:])
    assert np.array_equal(together, alone)

"""Histories contain only earlier positives, and end at the test window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.encoded.history import history_sizes, latest, running_means, times_shown


class Past:
    """Histories of all rows as positions of rows, and means of the rows' features."""

    def __init__(self, offsets: Any, times: Any, positive: Any, frozen: Any) -> None:
        rows, self.positive = np.array(offsets), np.array(positive, dtype=bool)
        self.size = history_sizes(rows, np.array(times), self.positive, np.array(frozen))
        self.offsets = np.concatenate([[0], np.cumsum(self.positive)])[rows]
        self.user = np.repeat(np.arange(len(rows) - 1), np.diff(rows))
        self.offset = self.offsets[self.user]

    def latest(self, n: int) -> np.ndarray:
        position = np.append(np.flatnonzero(self.positive), -1)
        return position[latest(self.offset, self.size, n)]

    def mean(self, features: np.ndarray) -> np.ndarray:
        means = running_means(self.offsets, features[self.positive])
        return means[self.offset + self.user + self.size]


def test_the_latest_positives_newest_first() -> None:
    past = Past([0, 5], [1, 2, 3, 4, 5], [1, 0, 1, 1, 0], [5])
    assert past.latest(2).tolist() == [[-1, -1], [0, -1], [0, -1], [2, 0], [3, 2]]


def test_rows_of_the_same_time_do_not_see_each_other() -> None:
    past = Past([0, 4], [1, 2, 2, 3], [1, 1, 1, 1], [4])
    assert past.latest(3).tolist() == [[-1, -1, -1], [0, -1, -1], [0, -1, -1], [2, 1, 0]]


def test_rows_of_the_test_window_see_what_came_before_it() -> None:
    past = Past([0, 5], [1, 2, 3, 4, 5], [1, 1, 1, 1, 1], [3])
    assert past.latest(5)[2:].tolist() == [[1, 0, -1, -1, -1]] + 2 * [[2, 1, 0, -1, -1]]


def test_a_tie_across_the_start_of_the_test_window_stays_unseen() -> None:
    """Positions 2 and 3 share a time, and the window starts between them."""
    past = Past([0, 5], [1, 2, 3, 3, 4], [1, 1, 1, 1, 1], [3])
    assert past.latest(3)[2:].tolist() == [[1, 0, -1], [1, 0, -1], [2, 1, 0]]


def test_users_do_not_see_each_other() -> None:
    """Not even if the last time of one user is the first of the next."""
    past = Past([0, 2, 4], [1, 2, 2, 3], [1, 1, 1, 1], [2, 4])
    assert past.latest(2).tolist() == [[-1, -1], [0, -1], [-1, -1], [2, -1]]


def test_without_any_positive() -> None:
    past = Past([0, 2], [1, 2], [0, 0], [2])
    assert past.latest(2).tolist() == [[-1, -1], [-1, -1]]
    assert past.mean(np.ones((2, 3))).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_mean_of_the_history_by_hand() -> None:
    past = Past([0, 3], [1, 2, 3], [1, 1, 1], [3])
    features = np.array([[1.0, 0.0], [0.5, 0.25], [9.0, 9.0]])
    assert past.mean(features) == pytest.approx(np.array([[0, 0], [1, 0], [0.75, 0.125]]))


rows = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12)


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
    past = Past(offsets, [t for t, _ in flat], [liked for _, liked in flat], frozen)
    found, mean = past.latest(len(flat)), past.mean(features)
    for user, start in enumerate(offsets[:-1]):
        for row in range(start, offsets[user + 1]):
            visible = [
                earlier
                for earlier in range(start, min(row, frozen[user]))
                if flat[earlier][1] and flat[earlier][0] < flat[row][0]
            ]
            assert [i for i in found[row] if i >= 0] == visible[::-1]
            expected = features[visible, 0].mean() if visible else 0
            assert mean[row, 0] == pytest.approx(expected, abs=1e-7)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(1, 3), st.data())
def test_times_shown_counts_the_latest_of_all_rows(
    likes: list[int], length: int, data: st.DataObject
) -> None:
    """Of users with so many positives."""
    offsets = np.concatenate([[0], np.cumsum(likes)])
    of_rows = data.draw(st.lists(st.integers(0, len(likes) - 1), max_size=8))
    offset = offsets[np.array(of_rows, dtype=np.int64)]
    size = np.array([data.draw(st.integers(0, likes[u])) for u in of_rows], dtype=np.int64)
    shown = latest(offset, size, length)
    expected = np.bincount(shown[shown >= 0], minlength=sum(likes))
    assert times_shown(offset, size, length, sum(likes)).tolist() == expected.tolist()


def test_not_one_bit_of_a_mean_depends_on_other_users() -> None:
    """Floating-point running sums would carry rounding errors from user to user."""
    generator = np.random.default_rng(0)
    features = 1 / generator.integers(1, 7, size=(600, 1))
    together = running_means(np.array([0, 500, 600]), features)[501:]
    alone = running_means(np.array([0, 100]), features[500:])
    assert np.array_equal(together, alone)

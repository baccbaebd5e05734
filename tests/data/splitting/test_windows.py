"""Window boundaries are exact integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.splitting.windows import Windows, boundaries, window_rows

counts = st.lists(st.integers(0, 300), min_size=1, max_size=5)


def offsets(rows_per_user: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(rows_per_user)]).astype(np.int64)


@pytest.mark.parametrize(
    ("rows", "percent", "first"),
    [(10, 60, 6), (10, 80, 8), (10, 90, 9), (7, 90, 6), (1, 99, 0), (5, 0, 0), (5, 100, 5)],
)
def test_boundary_by_hand(rows: int, percent: int, first: int) -> None:
    assert boundaries(offsets([3, rows]), percent).tolist() == [3 * percent // 100, 3 + first]


@given(counts, st.integers(0, 100))
def test_boundary_is_the_floor_of_the_exact_fraction(rows: list[int], percent: int) -> None:
    """29 % of 100 is 29, though 0.29 * 100 is a little less."""
    expected = [
        start + int(Fraction(percent, 100) * n)
        for start, n in zip(offsets(rows), rows, strict=False)
    ]
    found = boundaries(offsets(rows), percent)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@given(counts)
def test_windows_partition_the_rows(rows: list[int]) -> None:
    windows = Windows()
    edges = [0, windows.early, windows.train, windows.valid, 100]
    parts = [window_rows(offsets(rows), start, stop) for start, stop in pairwise(edges)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(sum(rows)))


def test_rows_of_a_window_by_hand() -> None:
    assert window_rows(offsets([10, 5]), 60, 90).tolist() == [6, 7, 8, 13]


@given(counts)
def test_a_users_train_rows_come_before_their_test_rows(rows: list[int]) -> None:
    users = np.repeat(np.arange(len(rows)), rows)
    train, test = (window_rows(offsets(rows), *edges) for edges in ((0, 80), (90, 100)))
    for user in range(len(rows)):
        own_train, own_test = train[users[train] == user], test[users[test] == user]
        assert not len(own_train) or not len(own_test) or own_train.max() < own_test.min()

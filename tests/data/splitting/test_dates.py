"""Dates that split all rows: by hand, and against the obvious way."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.config import load_config
from metaselector.data.splitting.dates import Dates, ends_at, given_dates
from metaselector.data.splitting.windows import Windows

times = st.lists(st.integers(0, 30), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (range(10), (6, 8, 9)),
        ([5] * 10, (5, 5, 5)),
        ([0, 1, 2, 3, 4, 5, 6, 6, 6, 9], (6, 6, 9)),  # 6 is not split: train ends before it
        ([7], (7, 7, 7)),
    ],
)
def test_dates_by_hand(rows: list[int], expected: tuple[int, ...]) -> None:
    assert Dates.at(np.array([*rows][::-1]), Windows()) == expected


@given(times, st.integers(1, 97))
def test_a_date_ends_the_longest_window_that_is_no_longer_than_asked(
    rows: list[int], early: int
) -> None:
    found = Dates.at(np.array(rows), Windows(early, early + 1, early + 2))
    ordered = sorted(rows)
    for date, percent in zip(found, range(early, early + 3), strict=True):
        most = len(rows) * percent // 100
        assert sum(row < date for row in rows) <= most
        assert sum(row <= date for row in rows) > most
        assert date == ordered[most]


@given(times)
def test_sizes_of_windows(rows: list[int]) -> None:
    dates = Dates(5, 10, 20)
    expected = [0, 0, 0, 0]
    for row in rows:
        expected[sum(date <= row for date in dates)] += 1
    assert dates.window_sizes(np.array(rows)).tolist() == expected


@given(st.lists(times, min_size=1, max_size=5), st.integers(0, 31))
def test_ends_are_those_of_a_loop_over_users(users: list[list[int]], date: int) -> None:
    offsets = np.cumsum([0, *map(len, users)])
    ordered = np.concatenate([sorted(rows) for rows in users])
    expected = [
        start + sum(row < date for row in rows)
        for start, rows in zip(offsets.tolist(), users, strict=False)
    ]
    assert ends_at(offsets, ordered, date).tolist() == expected


def test_given_dates_are_in_utc() -> None:
    def dates(*given: str) -> Dates | None:
        override = f"split.dates=[{', '.join(given)}]"
        return given_dates(load_config(overrides=["protocol=global", override]))

    second = 1_000_000
    assert dates("1970-01-01", "1970-01-02T00:00:00.000001", "1970-01-03T02:00:00+02:00") == (
        0,
        86_400 * second + 1,
        2 * 86_400 * second,
    )
    assert given_dates(load_config()) is None
    assert Dates.of([datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)] * 3).early == -second

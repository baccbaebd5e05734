"""Timestamps in microseconds, their parts and how they are printed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.microseconds import (
    DAY,
    HOUR,
    SECOND,
    TIME_PARTS,
    TimePart,
    as_seconds,
    as_text,
    of_numbers,
    time_codes,
    words_of,
)

LAST = 7_258_118_399_999_999  # of the year 2199
SEASONS = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring"}
SEASONS |= {6: "summer", 7: "summer", 8: "summer", 9: "autumn", 10: "autumn", 11: "autumn"}


@given(st.integers(0, LAST))
def test_seconds_and_back(time: int) -> None:
    seconds = as_seconds(np.array([time, time + 1]))
    assert of_numbers(seconds.astype(np.float64)).tolist() == [time, time + 1]
    text = f"{Decimal(time) / 1_000_000:f}"
    assert of_numbers(np.array([float(text)])).tolist() == [time]
    assert of_numbers(np.array([time / 1000]), 1000).tolist() == [time]


def test_the_nearest_is_taken() -> None:
    seconds = np.array([1.0000004, 1.0000006, 0.9999999, 7.0])
    assert of_numbers(seconds).tolist() == [1_000_000, 1_000_001, 1_000_000, 7_000_000]


def test_whole_seconds_are_integers() -> None:
    whole = as_seconds(np.array([1_000_000, 0]))
    assert (whole.dtype, whole.tolist()) == (np.int64, [1, 0])
    assert as_seconds(np.array([1_500_000, 1_000_000])).tolist() == [1.5, 1.0]


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_700_000_000_000_000, "2023-11-14T22:13:20Z"),
        (1_700_000_000_100_000, "2023-11-14T22:13:20.100000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_text_has_a_fraction_only_where_there_is_one(time: int, text: str) -> None:
    assert as_text(time) == text


@given(st.integers(0, 7_258_118_400))  # up to the year 2200
def test_parts_match_the_calendar(seconds: int) -> None:
    time = datetime.fromtimestamp(seconds, UTC)
    last = np.array([seconds * SECOND + 999_999])  # microsecond of the second
    expected = {
        "hour": str(time.hour),
        "day_of_week": time.strftime("%A"),
        "month": str(time.month),
        "season": SEASONS[time.month],
    }
    for part in TIME_PARTS:
        assert words_of(part)[time_codes(last, part)[0]] == expected[part]


@pytest.mark.parametrize("part", TIME_PARTS)
def test_codes_are_as_many_as_words(part: TimePart) -> None:
    times = np.arange(0, 366 * DAY, HOUR)
    assert set(time_codes(times, part)) == set(range(len(words_of(part))))

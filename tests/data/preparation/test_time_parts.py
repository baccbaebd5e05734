"""Parts of a timestamp."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.interactions import TIME_PARTS
from metaselector.data.microseconds import DAY, HOUR, SECOND
from metaselector.data.preparation.time_parts import time_codes, words_of

SEASONS = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring"}
SEASONS |= {6: "summer", 7: "summer", 8: "summer", 9: "autumn", 10: "autumn", 11: "autumn"}


@given(st.integers(0, 7_258_118_400))  # up to the year 2200
def test_parts_are_those_of_the_calendar(seconds: int) -> None:
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
def test_codes_are_as_many_as_words(part: str) -> None:
    times = np.arange(0, 366 * DAY, HOUR)
    assert set(time_codes(times, part)) == set(range(len(words_of(part))))

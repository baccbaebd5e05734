"""The unit of times, and how people are shown them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.microseconds import as_seconds, as_text, of_numbers

LAST = 7_258_118_399_999_999  # of the year 2199


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

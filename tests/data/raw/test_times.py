"""Times of every type as microseconds."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.raw.columns import BadValue
from metaselector.data.raw.times import Unit, microseconds

MOMENT = 1_700_000_000_123_456
DAY = date(2023, 11, 14)
MIDNIGHT = 1_699_920_000_000_000


@pytest.mark.parametrize(
    ("column", "unit", "expected"),
    [
        (pa.array([1_700_000_000]), "seconds", 1_700_000_000_000_000),
        (pa.array([1_700_000_000.123456]), "seconds", MOMENT),
        (pa.array(["1700000000.123456"]), "seconds", MOMENT),
        (pa.array(["1700000000.123456"]).dictionary_encode(), "seconds", MOMENT),
        (pa.array([1_700_000_000_123]), "milliseconds", 1_700_000_000_123_000),
        (pa.array([1_700_000_000_123.456]), "milliseconds", MOMENT),
        (pa.array([MOMENT], pa.timestamp("us")), None, MOMENT),
        (pa.array([MOMENT], pa.timestamp("us", "+02:00")), "seconds", MOMENT),
        (pa.array([MOMENT], pa.timestamp("us")).dictionary_encode(), None, MOMENT),
        (pa.array([MOMENT * 1000 + 999], pa.timestamp("ns", "UTC")), None, MOMENT),
        (pa.array([MOMENT // 1000], pa.timestamp("ms")), None, 1_700_000_000_123_000),
        (pa.array([MOMENT // 10**6], pa.timestamp("s")), None, 1_700_000_000_000_000),
        (pa.array([DAY]), None, MIDNIGHT),
        (pa.array([DAY], pa.date64()), None, MIDNIGHT),
        (pa.array([datetime.fromtimestamp(MOMENT / 1e6, UTC)]), None, MOMENT),
        (pa.array(["2023-11-14T22:13:20.123456"]), "iso", MOMENT),
        (pa.array(["2023-11-14 22:13:20.123456999Z"]), "iso", MOMENT),
        (pa.array(["2023-11-15T00:13:20.123456+02:00"]), "iso", MOMENT),
        (pa.array(["2023-11-14T22:13:20,1234569Z"]), "iso", MOMENT),  # read by the slow half
        (pa.array(["2023-11-14"]), "iso", MIDNIGHT),
    ],
)
def test_as_given(column: pa.Array, unit: Unit | None, expected: int) -> None:
    assert microseconds(column, unit).tolist() == [expected]


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (pa.array([1, 10**14], pa.timestamp("s")), "is after the year 2200"),  # overflows
        (pa.array([1, -1], pa.timestamp("ns")), "1969-12-31T23:59:59.999999999 is before 1970"),
        (pa.array([1, -(10**14)], pa.timestamp("s")), "is before 1970"),
        (pa.array([date(1970, 1, 1), date(2201, 1, 1)]), "2201-01-01T00:00:00 is after"),
        (pa.array([1, None], pa.timestamp("ms")), "is empty"),
    ],
)
def test_out_of_range(column: pa.Array, problem: str) -> None:
    with pytest.raises(BadValue) as error:
        microseconds(column, None)
    assert error.value.row == 1
    assert problem in error.value.problem


@pytest.mark.parametrize(
    ("value", "unit", "problem"),
    [
        (1_700_000_000_123, "seconds", "looks like milliseconds; set time.unit: milliseconds"),
        (MOMENT, "seconds", "looks like microseconds; divide by 1,000 and set time.unit: mill"),
        (MOMENT, "milliseconds", "looks like microseconds; divide by 1,000"),
        (MOMENT * 1000, "seconds", "looks like nanoseconds; divide by 1,000,000"),
        (MOMENT * 1000, "milliseconds", "looks like nanoseconds; divide by 1,000,000"),
        (1_700_000_000, "milliseconds", "looks like seconds; set time.unit: seconds"),
        (-0.25, "seconds", "-0.25 is before 1970"),
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_another_unit(value: Any, unit: Unit, problem: str, text: bool) -> None:
    with pytest.raises(BadValue) as error:
        microseconds(pa.array([str(value) if text else value]), unit)
    assert problem in error.value.problem


@given(st.integers(0, 7_258_118_399_999_999), st.sampled_from(["", "Z", "+00:00"]))
def test_both_halves_read_iso_alike(time: int, zone: str) -> None:
    text = str(np.datetime64(time, "us")) + zone
    other = "2024-05-01" if zone else "2024-05-01T00:00:00Z"  # mixed: line by line
    quick, slow = (microseconds(pa.array(texts), "iso") for texts in ([text], [text, other]))
    assert quick[0] == slow[0] == time

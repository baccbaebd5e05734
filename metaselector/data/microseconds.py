"""Timestamps in whole microseconds since 1970 UTC (int64), their parts and how to print them.

Rows are ordered and compared by them, so the milliseconds of a log count.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

TimePart = Literal["hour", "day_of_week", "month", "season"]
TIME_PARTS: tuple[TimePart, ...] = ("hour", "day_of_week", "month", "season")
_WORDS: dict[TimePart, tuple[str, ...]] = {
    "hour": tuple(str(hour) for hour in range(24)),
    "day_of_week": (
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ),
    "month": tuple(str(month) for month in range(1, 13)),
    "season": ("winter", "spring", "summer", "autumn"),
}  # fmt: skip


def of_numbers(values: NDArray[np.float64], scale: int = SECOND) -> NDArray[np.int64]:
    """Convert `values` of any shape, in units of `scale` microseconds, to the nearest microsecond.

    Example:
        >>> of_numbers(np.array([1.5, 2.0])).tolist()
        [1500000, 2000000]
    """
    # Convert whole and fraction separately: one product would be rounded twice.
    whole = np.floor(values)
    fraction = np.rint((values - whole) * scale).astype(np.int64)
    found: NDArray[np.int64] = whole.astype(np.int64) * scale + fraction
    return found


def as_seconds(times: NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.float64]:
    """Convert to seconds, to show to people: int64 if all are whole, else float64."""
    times = np.asarray(times)
    return times / SECOND if (times % SECOND).any() else times // SECOND


def as_text(time: int) -> str:
    """Format as ISO 8601 in UTC, with a fraction only if it is not zero.

    Example:
        >>> as_text(1_700_000_000_100_000)
        '2023-11-14T22:13:20.100000Z'
    """
    moment = np.datetime64(time, "us")
    text = np.datetime_as_string(moment.astype("datetime64[s]"), timezone="UTC")
    return str(np.datetime_as_string(moment, timezone="UTC") if time % SECOND else text)


def words_of(part: TimePart) -> tuple[str, ...]:
    """List the words of a part, by code. Seasons are those of the northern hemisphere, by month."""
    return _WORDS[part]


def time_codes(timestamps: NDArray[np.int64], part: TimePart) -> NDArray[np.int64]:
    """Compute the codes of a part of `timestamps`, in UTC; both int64 ``[n]``."""
    if part == "hour":
        return timestamps // HOUR % 24
    if part == "day_of_week":
        return (timestamps // DAY + 3) % 7  # 1 January 1970 was a Thursday
    months = timestamps.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months % 12 if part == "month" else (months + 1) % 12 // 3  # winter starts in December

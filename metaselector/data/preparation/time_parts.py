"""Parts of a timestamp as words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import TimePart
from metaselector.data.microseconds import DAY, HOUR

_WORDS: dict[TimePart, tuple[str, ...]] = {
    "hour": tuple(str(hour) for hour in range(24)),
    "day_of_week": (
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ),
    "month": tuple(str(month) for month in range(1, 13)),
    "season": ("winter", "spring", "summer", "autumn"),
}  # fmt: skip


def words_of(part: TimePart) -> tuple[str, ...]:
    """The words of a part, by code. Seasons are those of the northern hemisphere, by month."""
    return _WORDS[part]


def time_codes(timestamps: NDArray[np.int64], part: TimePart) -> NDArray[np.int64]:
    """Codes of a part of `timestamps`, microseconds since 1970, in UTC; both int64 ``[n]``."""
    if part == "hour":
        return timestamps // HOUR % 24
    if part == "day_of_week":
        return (timestamps // DAY + 3) % 7  # 1 January 1970 was a Thursday
    months = timestamps.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months % 12 if part == "month" else (months + 1) % 12 // 3  # winter is from December

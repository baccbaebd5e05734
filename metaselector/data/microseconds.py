"""The unit of times wherever rows have one: whole microseconds since 1970 UTC, int64.

Rows are ordered, compared and told apart by them, so that a log's milliseconds count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR


def of_numbers(values: NDArray[np.float64], scale: int = SECOND) -> NDArray[np.int64]:
    """The nearest microseconds to `values`, of any shape, in units of `scale` microseconds."""
    # Whole and fraction apart: their product in one would be rounded twice.
    whole = np.floor(values)
    fraction = np.rint((values - whole) * scale).astype(np.int64)
    found: NDArray[np.int64] = whole.astype(np.int64) * scale + fraction
    return found


def as_seconds(times: NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.float64]:
    """Seconds, as people are shown them: int64 where all are whole, else float64."""
    times = np.asarray(times)
    return times / SECOND if (times % SECOND).any() else times // SECOND


def as_text(time: int) -> str:
    """ISO 8601 in UTC, with a fraction only where there is one."""
    moment = np.datetime64(time, "us")
    text = np.datetime_as_string(moment.astype("datetime64[s]"), timezone="UTC")
    return str(np.datetime_as_string(moment, timezone="UTC") if time % SECOND else text)

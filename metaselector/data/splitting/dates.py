"""Dates at which the windows of all users end.

A window holds the rows before its date, so all rows of one microsecond lie on the same side.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaselector.config import Config
from metaselector.data.splitting.windows import Windows

_START = datetime(1970, 1, 1, tzinfo=UTC)


class Dates(NamedTuple):
    """Ends of the windows, in microseconds since 1970 UTC; a window's rows are strictly earlier.

    Example:
        >>> Dates.of([datetime(1970, 1, day, tzinfo=UTC) for day in (1, 2, 3)])
        Dates(early=0, train=86400000000, valid=172800000000)
    """

    early: int
    """End of the rows that the early base models are trained on."""
    train: int
    """End of *train*."""
    valid: int
    """End of *valid*; the rest is *test*."""

    @classmethod
    def of(cls, dates: Sequence[datetime]) -> Dates:
        """Convert three dates with a time zone."""
        return cls(*((date - _START) // timedelta(microseconds=1) for date in dates))

    @classmethod
    def at(cls, times: NDArray[np.int64], windows: Windows) -> Dates:
        """Find the dates that end the given percentages of all rows.

        A date is the time of the first row after the percentage, and rows of that time come after
        it: ties make a window smaller, never larger.

        Args:
            times: int64 ``[N]``, N > 0, in any order; partly sorted in place.
            windows: ends in percent of the rows.

        Example:
            >>> Dates.at(np.array([4, 2, 2, 3, 1]), Windows(early=20, train=60, valid=80))
            Dates(early=2, train=3, valid=4)
        """
        places = [len(times) * percent // 100 for percent in windows]
        times.partition(places)
        return cls(*(int(times[place]) for place in places))

    def window_sizes(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the rows before *early*, from *early* to *train*, of *valid*, and of *test*.

        Args:
            times: int64 ``[n]``.

        Returns:
            int64 ``[4]``.
        """
        return np.bincount(np.searchsorted(self, times, side="right"), minlength=4)


def given_dates(config: Config) -> Dates | None:
    """The dates that the settings give instead of percentages, or None."""
    return None if config.split.dates is None else Dates.of(config.split.dates)


def ends_at(
    user_offsets: NDArray[np.int64], times: NDArray[np.int64], date: int
) -> NDArray[np.int64]:
    """Position of each user's first row that is not before `date`.

    Args:
        user_offsets: int64 ``[U + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        times: int64 ``[N]``, not descending within a user.
        date: in the unit of the times.

    Returns:
        int64 ``[U]`` positions.

    Example:
        >>> ends_at(np.array([0, 3, 5]), np.array([1, 2, 3, 3, 4]), 3).tolist()
        [2, 3]
    """
    before = np.concatenate([[0], np.cumsum(times < date, dtype=np.int64)])[user_offsets]
    return user_offsets[:-1] + np.diff(before)

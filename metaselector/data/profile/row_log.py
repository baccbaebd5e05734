"""Find rows that share user, item or time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints

PART_ROWS = 2**21
"""Maximum rows sorted in memory at once, unless one user has more."""


class Sharing(NamedTuple):
    """What :meth:`RowLog.sharing` counts.

    Attributes:
        pairs: distinct user-item pairs.
        repeats: rows that repeat user, item and time of an earlier one.
        tied, early: see :class:`~metaselector.data.time_order.TimeOrder`.
        users_at_one_time: users with at least two rows, more than half of which share one time.
    """

    pairs: int
    repeats: int
    tied: int
    early: int
    users_at_one_time: int


class RowLog:
    """User, item and time of every row, in 16 bytes per row."""

    def __init__(self) -> None:
        self._blocks: list[tuple[NDArray[np.int32], NDArray[np.int32], Ints]] = []

    def add(self, user: NDArray[np.int32], item: NDArray[np.int32], time: Ints) -> None:
        """Store a block: user codes, item codes and times, ``[n]`` each."""
        # Copy, as a reader's block may be a view that keeps a larger array alive.
        self._blocks.append((user, item, time.copy()))

    def times(self) -> Ints:
        """The time of every row, int64 ``[n]``, as a new array."""
        return np.concatenate([time for _, _, time in self._blocks])

    def sharing(self, rows_per_user: Ints, n_items: int, part_rows: int = PART_ROWS) -> Sharing:
        """Count rows that share user, item or time, a group of users at a time.

        Args:
            rows_per_user: int64 ``[n_users]``.
            n_items: number of items.
            part_rows: maximum rows at once, unless one user has more.
        """
        total = Sharing(0, 0, 0, 0, 0)
        for low, high, user, item, time, _ in self.of_users(rows_per_user, part_rows):
            part = _sharing(user, item, time, rows_per_user[low:high], n_items)
            total = Sharing(*(a + b for a, b in zip(total, part, strict=True)))
        return total

    def distinct_rows(self, rows_per_user: Ints) -> Ints:
        """Count the rows of each user that differ in item or time, int64 ``[n_users]``."""
        found = np.zeros(len(rows_per_user), dtype=np.int64)
        for low, high, user, item, time, _ in self.of_users(rows_per_user):
            order = np.lexsort((time, item, user))
            new = np.ones(len(order), dtype=bool)
            new[1:] = False
            for values in (user, item, time):
                new[1:] |= values[order][1:] != values[order][:-1]
            found[low:high] = np.bincount(user[order][new], minlength=high - low)
        return found

    def distinct_times(self, rows_per_user: Ints) -> Ints:
        """Count the times at which each user has rows, int64 ``[n_users]``."""
        found = np.zeros(len(rows_per_user), dtype=np.int64)
        for low, high, user, _, time, _ in self.of_users(rows_per_user):
            order = np.lexsort((time, user))
            user, time = user[order], time[order]
            new = np.ones(len(order), dtype=bool)
            new[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
            found[low:high] = np.bincount(user[new], minlength=high - low)
        return found

    def occurring(
        self, rows: NDArray[np.bool_], n_users: int, n_items: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Mark the users ``[n_users]`` and items ``[n_items]`` of the `rows` marked in ``[n]``."""
        users, items = np.zeros(n_users, dtype=bool), np.zeros(max(n_items, 1), dtype=bool)
        first = 0
        for user, item, _ in self._blocks:
            chosen = rows[first : first + len(user)]
            users[user[chosen]] = True
            items[item[chosen]] = True
            first += len(user)
        return users, items[:n_items]

    def of_users(
        self, rows_per_user: Ints, part_rows: int = PART_ROWS
    ) -> Iterator[tuple[int, int, Ints, NDArray[np.int32], Ints, Ints]]:
        """Yield the rows of consecutive users, a group at a time, in the order of the file.

        Yields:
            The first user, the user after the last, and for each of their rows: the user, counted
            from the first, the item, the time and the position in the file.
        """
        for low, high in _ranges(rows_per_user, part_rows):
            picks, first = [], 0
            for user, item, time in self._blocks:
                chosen = np.flatnonzero((user >= low) & (user < high))
                if len(chosen):
                    counted = user[chosen].astype(np.int64) - low
                    picks.append((counted, item[chosen], time[chosen], first + chosen))
                first += len(user)
            mine, item, time, row = (np.concatenate(part) for part in zip(*picks, strict=True))
            yield low, high, mine, item, time, row.astype(np.int64)


def _ranges(rows_per_user: Ints, part_rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of users, low to before high, of at most `part_rows` rows or one user."""
    ends = np.cumsum(rows_per_user)
    low = 0
    while low < len(ends):
        before = ends[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + part_rows, side="right")))
        yield low, high
        low = high


def _sharing(user: Ints, item: NDArray[np.int32], time: Ints, rows: Ints, n_items: int) -> Sharing:
    pair = user * n_items + item
    order = np.argsort(pair, kind="stable")
    new = _starts(pair[order])
    events, _ = _keys(np.cumsum(new) - 1, time[order])
    by_event = np.argsort(events, kind="stable")
    kept = np.sort(order[by_event[_starts(events[by_event])]])  # the first of those that repeat

    times, width = _keys(user[kept], time[kept])
    by_time = np.argsort(times, kind="stable")
    times = times[by_time]
    same_user = times[1:] // width == times[:-1] // width
    first = np.flatnonzero(_starts(times))
    same = np.diff(first, append=len(times))
    longest = np.zeros(len(rows), dtype=np.int64)
    np.maximum.at(longest, times[first] // width, same)
    rows = np.bincount(user[kept], minlength=len(rows))
    return Sharing(
        pairs=int(new.sum()),
        repeats=len(events) - len(kept),
        tied=int(same[same > 1].sum()),
        early=int((same_user & (np.diff(by_time) < 0)).sum()),
        users_at_one_time=int(((longest >= 2) & (2 * longest > rows)).sum()),
    )


def _starts(ordered: Ints) -> NDArray[np.bool_]:
    """Mark the starts of runs of equal values."""
    starts = np.ones(len(ordered), dtype=bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return starts


def _keys(major: Ints, minor: Ints) -> tuple[Ints, int]:
    """Combine pairs of numbers into keys; also return the width: ``key // width`` is major.

    Args:
        major: int64 ``[n]``, n > 0, none negative.
        minor: int64 ``[n]``, any.
    """
    # Differences may take 64 bits; dividing by their common divisor makes most of them small.
    apart = minor.astype(np.uint64) - np.uint64(int(minor.min()) % 2**64)
    apart //= max(np.gcd.reduce(apart), np.uint64(1))
    if (int(major.max()) + 1) * (int(apart.max()) + 1) >= 2**63:
        apart = np.unique(apart, return_inverse=True)[1]
    width = int(apart.max()) + 1
    return major * width + apart.astype(np.int64), width

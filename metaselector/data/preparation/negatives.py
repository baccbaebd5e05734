"""Sampled negatives for logs in which every row is a positive of the first task.

Items and their popularity come from the whole log: the catalogue is assumed to be known, as
usual. So an item first seen late can be a negative of an early row, and a negative in *train* adds
its item to the vocabulary, as a positive does. A sampled row differs from its positive only in the
item.

The user's own items, including those of later rows, are never drawn. Under popularity sampling the
most popular items are therefore drawn less often than they occur: most users have them already.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Negatives
from metaselector.data.preparation.staging_types import StagedRows

_TRIES = 100
"""Rounds of rejection sampling before the remaining items of a user are listed instead."""


class NegativeSampler:
    """Adds negatives to every positive: items that its user never interacts with.

    A negative has the time and features of its positive. Its position in the file is the number of
    rows of the log plus ``position * per_positive + k``, so positions stay unique. The negatives of
    a positive are distinct items. Tasks after the first are not observed.

    Args:
        settings: number of negatives and distribution of items.
        item_rows: int64 ``[I]``, rows of each item in the log.
    """

    def __init__(self, settings: Negatives, item_rows: NDArray[np.int64]) -> None:
        self._settings = settings
        self._rows = int(item_rows.sum())
        weights = item_rows if settings.sampling == "popularity" else np.ones_like(item_rows)
        self._ends = np.cumsum(weights)
        self._generator = np.random.default_rng(settings.seed)
        self.short = 0
        """Negatives not drawn because their users have seen nearly every item."""

    def add(self, records: StagedRows) -> StagedRows:
        """Return `records`, of whole users, each followed by its negatives."""
        n = self._settings.per_positive
        drawn = (self._once if self._settings.once else self._again)(records)
        self.short += int((drawn < 0).sum())
        every = np.repeat(records, n + 1).reshape(-1, n + 1)
        every["item"][:, 1:] = drawn
        every["labels"][:, 1:, 0] = 0
        every["labels"][:, 1:, 1:] = np.nan
        every["row"][:, 1:] = self._rows + records["row"][:, None] * n + np.arange(n)
        kept = np.ones(every.shape, dtype=bool)
        kept[:, 1:] = drawn >= 0
        return every[kept]

    def _once(self, records: StagedRows) -> NDArray[np.int64]:
        """Draw items ``[n, per_positive]``, distinct for each user; -1 if there are too few.

        Sampling is weighted and without replacement: each item gets an exponential arrival time
        with its weight as the rate, and the earliest are taken (P. Efraimidis and P. Spirakis,
        "Weighted random sampling with a reservoir", 2006). They are assigned to the user's rows in
        random order, because popular items tend to come first.
        """
        n, weights = self._settings.per_positive, np.diff(self._ends, prepend=0)
        drawn = np.full(len(records) * n, -1, dtype=np.int64)
        starts = np.flatnonzero(np.diff(records["user"], prepend=-1)).tolist()
        for start, stop in pairwise([*starts, len(records)]):
            free = weights > 0
            free[records["item"][start:stop]] = False
            items = np.flatnonzero(free)
            rings = self._generator.exponential(size=len(items)) / weights[items]
            places = self._generator.permutation(np.arange(start * n, stop * n))[: len(items)]
            drawn[places] = items[np.argsort(rings)][: len(places)]
        return drawn.reshape(-1, n)  # [n * per_positive] to [n, per_positive]

    def _again(self, records: StagedRows) -> NDArray[np.int64]:
        """Draw items ``[n, per_positive]``, distinct within a row; -1 if there are too few."""
        n = self._settings.per_positive
        items = len(self._ends)
        taken = np.unique(_pairs(records["user"], records["item"], items))
        drawn = np.full((len(records), n), -1, dtype=np.int64)
        open_ = np.ones((len(records), n), dtype=bool)
        for _ in range(_TRIES):
            row, column = np.nonzero(open_)
            if not len(row):
                break
            item = self._draw(len(row))
            free = ~_contains(taken, _pairs(records["user"][row], item, items))
            drawn[row[free], column[free]] = item[free]
            open_ = (drawn < 0) | _repeated(drawn)
            drawn[open_] = -1
        user = records["user"]
        for place in np.flatnonzero(open_.any(axis=1)).tolist():
            mine = slice(*np.searchsorted(user, [user[place], user[place] + 1]).tolist())
            self._complete(drawn[place], records["item"][mine])
        return drawn

    def _draw(self, n: int) -> NDArray[np.int64]:
        place = self._generator.integers(self._ends[-1], size=n)
        return np.searchsorted(self._ends, place, side="right")

    def _complete(self, drawn: NDArray[np.int64], seen: NDArray[np.int32]) -> None:
        """Fill the open entries of one positive from the user's remaining items, if any."""
        left = np.setdiff1d(np.arange(len(self._ends)), np.concatenate([seen, drawn]))
        where = np.flatnonzero(drawn < 0)
        weights = np.diff(self._ends, prepend=0)[left]
        chosen = self._generator.permutation(left)
        if len(left) > len(where):
            share = weights / weights.sum()
            chosen = self._generator.choice(left, len(where), replace=False, p=share)
        drawn[where[: len(chosen)]] = chosen[: len(where)]


def _pairs(user: NDArray[np.int32], item: NDArray[np.integer], items: int) -> NDArray[np.int64]:
    return user.astype(np.int64) * items + item


def _contains(ordered: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    where = np.searchsorted(ordered, values)
    found: NDArray[np.bool_] = ordered[np.minimum(where, len(ordered) - 1)] == values
    return found


def _repeated(drawn: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark entries that repeat an earlier one of their row, except -1."""
    again = np.zeros(drawn.shape, dtype=bool)
    for column in range(1, drawn.shape[1]):
        again[:, column] = (drawn[:, :column] == drawn[:, column, None]).any(axis=1)
    return again & (drawn >= 0)

"""What is counted in the rows of *train*, and of nothing else, before fields are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metaselector.data.encoded.history import history_sizes, times_shown
from metaselector.data.interactions import InteractionTable, Ints
from metaselector.data.microseconds import time_codes, words_of
from metaselector.data.preparation.numbers import QUANTILE_SAMPLE, Numbers
from metaselector.data.preparation.parts import Parts
from metaselector.data.preparation.staging import Staged, StagedRows


@dataclass
class Statistics:
    """Counts over the rows of *train*.

    Attributes:
        user_offsets: int64 ``[U + 1]``, where the rows of users begin, of all windows, as the
            users came; those without rows are left out.
        users, items: int64, rows of each.
        history_items: int64 ``[I]``, rows that show the item among the latest liked.
        words: for each word feature, int64, rows of each entry.
        time_parts: for each time part, int64, rows of each of its words.
        numbers: for each numeric feature.
    """

    user_offsets: Ints
    users: Ints
    items: Ints
    history_items: Ints
    words: list[Ints]
    time_parts: list[Ints]
    numbers: list[Numbers]

    @classmethod
    def empty(cls, table: InteractionTable, staged: Staged) -> Self:
        def zeros(size: int) -> Ints:
            return np.zeros(size, dtype=np.int64)

        stride = -(-len(staged) // QUANTILE_SAMPLE)
        return cls(
            user_offsets=zeros(1),
            users=zeros(len(staged.users)),
            items=zeros(len(staged.items)),
            history_items=zeros(len(staged.items)),
            words=[zeros(len(entries)) for entries in staged.words],
            time_parts=[zeros(len(words_of(part))) for part in table.time_parts],
            numbers=[Numbers(stride) for f in table.features if f.kind == "numeric"],
        )

    def add(self, table: InteractionTable, records: StagedRows, parts: Parts, length: int) -> None:
        """Count the *train* rows of whole users; `length` is that of the history."""
        offsets = user_offsets(records)
        self.user_offsets = np.append(self.user_offsets, self.user_offsets[-1] + offsets[1:])
        ranks = np.arange(len(records))
        train = ranks < np.repeat(parts.train_ends(records, offsets), np.diff(offsets))
        seen = records[train]
        _count(self.users, seen["user"])
        _count(self.items, seen["item"])
        for counts, codes in zip(self.words, seen["words"].T, strict=True):
            _count(counts, codes[codes >= 0])
        for counts, part in zip(self.time_parts, table.time_parts, strict=True):
            _count(counts, time_codes(seen["time"], part))
        for numbers, values in zip(self.numbers, seen["numbers"].T, strict=True):
            numbers.add(values, seen["row"])
        past = Past.of(records, offsets, parts)
        shown = times_shown(past.offset[train], past.size[train], length, len(past.items))
        self.history_items += np.bincount(
            past.items, weights=shown, minlength=len(self.history_items)
        ).astype(np.int64)


@dataclass(frozen=True)
class Past:
    """The histories of some whole users' rows.

    Attributes:
        items: int32 ``[P]``, codes of the liked items, users in order, oldest first.
        offsets: int64 ``[U + 1]``, where each user's begin in `items`.
        offset: int64 ``[n]``, the same for every row.
        size: int64 ``[n]``, as in :func:`metaselector.data.encoded.history.history_sizes`.
    """

    items: NDArray[np.int32]
    offsets: Ints
    offset: Ints
    size: Ints

    @classmethod
    def of(cls, records: StagedRows, offsets: Ints, parts: Parts) -> Self:
        """`offsets` are those of the users' rows in `records`."""
        positive = (records["labels"][:, 0] == 1) & parts.histories
        size = history_sizes(offsets, records["time"], positive, parts.history_ends(offsets))
        liked = np.concatenate([[0], np.cumsum(positive)]).astype(np.int64)[offsets]
        return cls(records["item"][positive], liked, np.repeat(liked[:-1], np.diff(offsets)), size)


def user_offsets(records: StagedRows) -> Ints:
    """Where the users of `records`, which are sorted by user, begin; int64 ``[U + 1]``."""
    starts = np.flatnonzero(np.diff(records["user"], prepend=-1))
    return np.append(starts, len(records)).astype(np.int64)


def _count(counts: Ints, codes: NDArray[np.integer]) -> None:
    counts += np.bincount(codes, minlength=len(counts))

"""Counts over the rows of *train*, and only these, from which fields are fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metaselector.data.encoded.history import history_sizes, times_shown
from metaselector.data.interactions import InteractionTable, Ints
from metaselector.data.microseconds import time_codes, words_of
from metaselector.data.preparation.lists import list_offsets
from metaselector.data.preparation.numbers import QUANTILE_SAMPLE, Numbers
from metaselector.data.preparation.parts import Parts
from metaselector.data.preparation.staging import Staged
from metaselector.data.preparation.staging_types import StagedRows


@dataclass
class Statistics:
    """Counts over the rows of *train*.

    Attributes:
        user_offsets: int64 ``[U + 1]``, start of each user's rows in all windows, for users with
            rows, in order of code.
        list_offsets: int64 ``[L + 1]``, start of each list; None if rows belong to none.
        users, items: int64 ``[U]`` and ``[I]``, rows of each.
        history_items: int64 ``[I]``, rows whose history shows the item.
        words: int64 per word feature, rows of each entry.
        time_parts: int64 per time part, rows of each word.
        numbers: summary of each numeric feature.
    """

    user_offsets: Ints
    list_offsets: Ints | None
    users: Ints
    items: Ints
    history_items: Ints
    words: list[Ints]
    time_parts: list[Ints]
    numbers: list[Numbers]

    @classmethod
    def empty(cls, table: InteractionTable, staged: Staged, rows: int) -> Self:
        """Count nothing yet; `rows` is the number of *train* rows, or more if it is unknown."""

        def zeros(size: int) -> Ints:
            return np.zeros(size, dtype=np.int64)

        stride = -(-rows // QUANTILE_SAMPLE)
        return cls(
            user_offsets=zeros(1),
            list_offsets=zeros(1) if table.lists else None,
            users=zeros(len(staged.users)),
            items=zeros(len(staged.items)),
            history_items=zeros(len(staged.items)),
            words=[zeros(len(entries)) for entries in staged.words],
            time_parts=[zeros(len(words_of(part))) for part in table.time_parts],
            numbers=[Numbers(stride) for f in table.features if f.kind == "numeric"],
        )

    def add(self, table: InteractionTable, records: StagedRows, parts: Parts, length: int) -> None:
        """Count the *train* rows of whole users, whose histories show `length` items."""
        offsets, lists = user_offsets(records), list_offsets(records)
        if self.list_offsets is not None and lists is not None:
            self.list_offsets = np.append(self.list_offsets, self.user_offsets[-1] + lists[1:])
        self.user_offsets = np.append(self.user_offsets, self.user_offsets[-1] + offsets[1:])
        ranks = np.arange(len(records))
        train = ranks < np.repeat(parts.ends(records, offsets, "train"), np.diff(offsets))
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
    """Histories of the rows of whole users.

    Attributes:
        items: int32 ``[P]``, item codes of the positives, by user, oldest first.
        offsets: int64 ``[U + 1]``, start of each user's positives in `items`.
        offset: int64 ``[n]``, the same for every row.
        size: int64 ``[n]``, see :func:`metaselector.data.encoded.history.history_sizes`.
    """

    items: NDArray[np.int32]
    offsets: Ints
    offset: Ints
    size: Ints

    @classmethod
    def of(cls, records: StagedRows, offsets: Ints, parts: Parts) -> Self:
        """Build from `records`; `offsets` are int64 ``[U + 1]``, start of each user's rows."""
        positive = (records["labels"][:, 0] == 1) & parts.histories
        size = history_sizes(
            offsets, records["time"], positive, parts.history_ends(records, offsets)
        )
        positives = np.concatenate([[0], np.cumsum(positive)]).astype(np.int64)[offsets]
        offset = np.repeat(positives[:-1], np.diff(offsets))
        return cls(records["item"][positive], positives, offset, size)


def user_offsets(records: StagedRows) -> Ints:
    """Start of each user's rows in `records`, which are sorted by user; int64 ``[U + 1]``."""
    starts = np.flatnonzero(np.diff(records["user"], prepend=-1))
    return np.append(starts, len(records)).astype(np.int64)


def _count(counts: Ints, codes: NDArray[np.integer]) -> None:
    counts += np.bincount(codes, minlength=len(counts))

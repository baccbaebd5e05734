"""Detect candidates whose outcome adaptation may have seen: older than or part of the support."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.preparation.new_rows import NewRows
from metaselector.data.splitting.episodes import EpisodeRows


@dataclass(frozen=True)
class LateSupport:
    """Counts of candidates; iterating yields a sentence for each problem that there is.

    Counts of different users add up.

    Attributes:
        candidates: number of candidates.
        older: those older than the newest support row.
        same_item: those with the item of a support row.
        same_row: those with the item and time of a support row.
        again: whether the history or the candidates of a user repeat an item.
    """

    candidates: int = 0
    older: int = 0
    same_item: int = 0
    same_row: int = 0
    again: bool = False

    def __add__(self, other: LateSupport) -> LateSupport:
        return LateSupport(
            self.candidates + other.candidates,
            self.older + other.older,
            self.same_item + other.same_item,
            self.same_row + other.same_row,
            self.again or other.again,
        )

    def __iter__(self) -> Iterator[str]:
        n = self.candidates
        if self.older:
            yield (
                f"{self.older:,} of {n:,} candidates are older than the newest row that their user "
                "is adapted on, which reveals what came later; give only history before the "
                "candidates"
            )
        what = "item and time" if self.again else "item"
        inside = self.same_row if self.again else self.same_item
        if inside:
            yield (
                f"{inside:,} of {n:,} candidates have the {what} of a row that their user is "
                "adapted on, so the label is known; remove them from the candidates or the history"
            )


def late_support(rows: NewRows, episodes: EpisodeRows | None = None) -> LateSupport:
    """Count candidates older than, or part of, the support set.

    If users meet an item only once, a candidate is part of the support set if its item is. If the
    history or the candidates repeat items, the time must match as well.

    Args:
        rows: encoded rows with times and items.
        episodes: the episodes of `rows`; None if there are no candidates.
    """
    dataset, query = rows.dataset, rows.candidates
    users, items, times = dataset.users, dataset.items, dataset.timestamps
    again = any(_keys(part, users, items).has_duplicates for part in (rows.history, query))
    if episodes is None:
        return LateSupport(again=again)
    support, _ = episodes.flat("support")
    newest = np.full(dataset.num_users, np.iinfo(np.int64).min)
    np.maximum.at(newest, users[support], times[support])

    def inside(*keys: NDArray[np.integer]) -> int:
        return int(_keys(query, *keys).isin(_keys(support, *keys)).sum())

    return LateSupport(
        candidates=len(query),
        older=int((times[query] < newest[users[query]]).sum()),
        same_item=inside(users, items),
        same_row=inside(users, items, times),
        again=again,
    )


def _keys(rows: NDArray[np.int64], *keys: NDArray[np.integer]) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([key[rows] for key in keys])

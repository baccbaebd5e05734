"""Candidates that adaptation knows too much of: older than the support, or part of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.preparation.new_rows import NewRows
from metaselector.data.splitting.episodes import EpisodeRows


def late_support(rows: NewRows, episodes: EpisodeRows) -> Iterator[str]:
    """A counted sentence for each of the two, where there are such candidates.

    Where users meet an item once, any candidate whose item is in the support is part of it; where
    the history or the candidates have an item twice, only one of the same time is.

    Args:
        rows: with times and items.
        episodes: theirs.
    """
    dataset, query = rows.dataset, rows.candidates
    support, _ = episodes.flat("support")
    users, items, times = dataset.users, dataset.items, dataset.timestamps
    newest = np.full(dataset.num_users, np.iinfo(np.int64).min)
    np.maximum.at(newest, users[support], times[support])
    older = int((times[query] < newest[users[query]]).sum())
    if older:
        yield (
            f"{older:,} of {len(query):,} candidates are older than the newest row that their user "
            "is adapted on: it tells of what came later; give the history before them only"
        )
    again = any(_keys(part, users, items).has_duplicates for part in (rows.history, query))
    keys, what = ((users, items, times), "item and time") if again else ((users, items), "item")
    inside = int(_keys(query, *keys).isin(_keys(support, *keys)).sum())
    if inside:
        yield (
            f"{inside:,} of {len(query):,} candidates have the {what} of a row that their user is "
            "adapted on: its label is known; leave them out of the candidates, or of the history"
        )


def _keys(rows: NDArray[np.int64], *keys: NDArray[np.integer]) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([key[rows] for key in keys])

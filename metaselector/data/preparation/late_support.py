"""Detect candidates whose outcome adaptation may have seen: older than or part of the support."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.preparation.new_rows import NewRows
from metaselector.data.splitting.episodes import EpisodeRows


def late_support(rows: NewRows, episodes: EpisodeRows) -> Iterator[str]:
    """Yield a counted sentence if there are candidates older than, or part of, the support set.

    If users meet an item only once, a candidate is part of the support set if its item is. If the
    history or the candidates repeat items, the time must match as well.

    Args:
        rows: encoded rows with times and items.
        episodes: the episodes of `rows`.
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
            "is adapted on, which reveals what came later; give only history before the candidates"
        )
    again = any(_keys(part, users, items).has_duplicates for part in (rows.history, query))
    keys, what = ((users, items, times), "item and time") if again else ((users, items), "item")
    inside = int(_keys(query, *keys).isin(_keys(support, *keys)).sum())
    if inside:
        yield (
            f"{inside:,} of {len(query):,} candidates have the {what} of a row that their user is "
            "adapted on, so the label is known; remove them from the candidates or the history"
        )


def _keys(rows: NDArray[np.int64], *keys: NDArray[np.integer]) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([key[rows] for key in keys])

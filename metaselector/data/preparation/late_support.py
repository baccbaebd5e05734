"""Candidates that adaptation knows too much of: older than the support, or part of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from metaselector.data.dataset import EncodedDataset
from metaselector.data.episodes import EpisodeRows


def late_support(dataset: EncodedDataset, episodes: EpisodeRows) -> Iterator[str]:
    """A counted sentence for each of the two, where there are such candidates.

    Args:
        dataset: rows with times and items.
        episodes: the candidates are their queries.
    """
    support, _ = episodes.flat("support")
    query, _ = episodes.flat("query")
    users, items, times = dataset.users, dataset.items, dataset.timestamps
    newest = np.full(dataset.num_users, np.iinfo(np.int64).min)
    np.maximum.at(newest, users[support], times[support])
    older = int((times[query] < newest[users[query]]).sum())
    if older:
        yield (
            f"{older:,} of {len(query):,} candidates are older than the newest row that their user "
            "is adapted on, which tells of what came later; give the history before them only"
        )
    of_pair, of_time = (
        pd.MultiIndex.from_arrays([key[query] for key in keys]).isin(
            pd.MultiIndex.from_arrays([key[support] for key in keys])
        )
        for keys in ((users, items), (users, items, times))
    )
    if of_pair.any():
        yield (
            f"{of_pair.sum():,} of {len(query):,} candidates have the user and item of a row that "
            f"their user is adapted on ({of_time.sum():,} of them its time, too), whose label is "
            "known; leave them out of the candidates or the history, unless items are met again"
        )

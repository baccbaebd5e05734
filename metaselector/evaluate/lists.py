"""Ranking metrics within lists: rows that a user was shown together, such as search results.

Each list is ranked by itself, as a user's rows are in :mod:`metaselector.evaluate.ranking`: AUC,
NDCG@10 and reciprocal rank, with expected values over ties. Metrics are means over the lists with
rows of both classes, each of which counts once; the others have nothing to rank.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.ranking import user_rankings

METRICS = ("list_auc", "list_ndcg_10", "list_mrr")
"""Means over lists of AUC, NDCG@10 and reciprocal rank."""

COUNT = "n_lists"
"""Column of ``results.csv``: the number of lists in these means."""

COLUMNS = (*METRICS, COUNT)
"""Columns of ``results.csv`` for data with lists."""


class ListRankings(NamedTuple):
    """Metrics within the lists of U users, float64 ``[U]`` each.

    Attributes:
        counts: lists with both classes.
        list_auc, list_ndcg_10, list_mrr: means over these lists; 0 if the user has none.

    Example:
        >>> lists, users = np.array([0, 0, 1, 1, 2]), np.array([0, 0, 0, 0, 1])
        >>> found = list_rankings([1, 0, 0, 1, 1], [0.9, 0.2, 0.6, 0.4, 0.5], users, 2, lists)
        >>> found.list_auc.tolist(), found.counts.tolist()
        ([0.5, 0.0], [2.0, 0.0])
    """

    counts: Floats
    list_auc: Floats
    list_ndcg_10: Floats
    list_mrr: Floats

    def mean(self, metric: str) -> float:
        """Mean over all lists of a metric in :data:`METRICS`, nan without lists."""
        values: Floats = getattr(self, metric)
        total = self.counts.sum()
        return float(values @ self.counts / total) if total else math.nan


def list_rankings(
    y: ArrayLike, p: ArrayLike, codes: Ints, n_users: int, lists: Ints
) -> ListRankings:
    """Rank the rows of each list by score, highest first.

    Args:
        y, p: ``[N]``.
        codes: int64 ``[N]``, the user of each row, from 0 to U - 1.
        n_users: U.
        lists: int64 ``[N]``, the list of each row; all rows of a list have one user.

    Raises:
        UserError: a label or prediction is invalid, or lengths differ.

    Example:
        >>> lists, users = np.array([7, 7, 7]), np.array([0, 0, 0])
        >>> list_rankings([0, 1, 0], [0.9, 0.8, 0.1], users, 1, lists).mean("list_mrr")
        0.5
    """
    _, first, of_list = np.unique(lists, return_index=True, return_inverse=True)
    ranked = user_rankings(y, p, of_list, len(first))
    both = ~np.isnan(ranked.auc)
    owner = codes[first][both]
    counts = np.bincount(owner, minlength=n_users).astype(np.float64)

    def mean(values: Floats) -> Floats:
        sums = np.bincount(owner, weights=values[both], minlength=n_users)
        return sums / np.maximum(counts, 1)

    return ListRankings(counts, mean(ranked.auc), mean(ranked.ndcg_10), mean(ranked.mrr))

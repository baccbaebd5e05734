"""Ranking metrics by user: AUC, NDCG@10 and reciprocal rank of each user's own rows.

They are defined for users with rows of both classes; other users have nothing to rank. Rows with
one score are in no order, so each metric is its expected value over all orders of such rows, in
closed form: the order of the input never matters. Relevance is the label, 0 or 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.checks import checked_rows

METRICS = ("gauc", "ndcg_10", "mrr")
"""Means over users of :attr:`UserRankings.auc`, ``ndcg_10`` and ``mrr``."""

CUTOFF = 10
"""Ranks that count for NDCG."""


class UserRankings(NamedTuple):
    """Metrics of U users, each float64 ``[U]`` and nan where undefined.

    Attributes:
        rows: number of rows.
        auc: area under the ROC curve, with ties counting one half.
        ndcg_10: DCG@10 over the best possible DCG@10, with gain 1 for a positive row and discount
            ``1 / log2(1 + rank)``. Source: Järvelin and Kekäläinen, "Cumulated Gain-Based
            Evaluation of IR Techniques", ACM TOIS 20, 2002.
        mrr: ``1 / rank`` of the first positive row.

    Example:
        >>> found = user_rankings([1, 0, 1], [0.9, 0.2, 0.4], np.array([0, 0, 1]), n_users=2)
        >>> found.mean("mrr")  # of the one user with both classes
        (1.0, 1)
    """

    rows: Floats
    auc: Floats
    ndcg_10: Floats
    mrr: Floats

    def weighted(self, metric: str) -> tuple[Floats, Floats]:
        """Values ``[U]`` of a metric in :data:`METRICS` and their weights in its mean.

        A user counts with their number of rows for GAUC, once for the others, and not at all
        (value and weight 0) where the metric is undefined.
        """
        values = self.auc if metric == "gauc" else getattr(self, metric)
        weights = self.rows if metric == "gauc" else np.ones_like(values)
        defined = ~np.isnan(values)
        return np.where(defined, values, 0), np.where(defined, weights, 0)

    def mean(self, metric: str) -> tuple[float, int]:
        """Weighted mean of a metric, nan if no user has it, and the number of users in it."""
        values, weights = self.weighted(metric)
        users = weights > 0
        if not users.any():
            return math.nan, 0
        return float(np.average(values[users], weights=weights[users])), int(users.sum())


def user_rankings(y: ArrayLike, p: ArrayLike, codes: Ints, n_users: int) -> UserRankings:
    """Rank each user's rows by score, highest first.

    Expected values over ties are those of McSherry and Najork, "Computing Information Retrieval
    Performance Measures Efficiently in the Presence of Tied Scores", ECIR 2008: every row of a tie
    has the tie's mean discount; and with r positives among g tied rows, the first positive is at
    place j of them with probability ``C(g - j, r - 1) / C(g, r)``.

    Args:
        y, p: ``[N]``.
        codes: int64 ``[N]``, from 0 to U - 1.
        n_users: U.

    Raises:
        UserError: a label or prediction is invalid, or lengths differ.

    Example:
        >>> codes = np.array([0, 0, 0, 1])
        >>> found = user_rankings([1, 0, 0, 1], [0.5, 0.9, 0.5, 0.3], codes, n_users=2)
        >>> found.mrr.round(4).tolist()  # rank 2 or 3 with equal chance; the other has one class
        [0.4167, nan]
    """
    labels, scores = checked_rows(y, p, codes)
    order = np.lexsort((-scores, codes))
    labels, scores, codes = labels[order], scores[order], codes[order]
    size = np.bincount(codes, minlength=n_users)
    positive = np.bincount(codes, weights=labels, minlength=n_users)
    both = (positive > 0) & (positive < size)
    # Rows of one user with one score are a tie: of `tied` rows, `relevant` are positive.
    starts = np.ones(len(codes), dtype=bool)
    starts[1:] = (np.diff(codes) != 0) | (np.diff(scores) != 0)
    first = np.flatnonzero(starts)
    tied = np.diff(first, append=len(codes))
    owner = codes[first]
    relevant = np.bincount(np.repeat(np.arange(len(first)), tied), weights=labels)
    before = first - (np.cumsum(size) - size)[owner]  # rows of the user that rank higher

    def of_both(values: Floats) -> Floats:
        return np.where(both, values, np.nan)

    # Mann and Whitney: pairs in the right order over all pairs. Ranks count from the lowest score.
    rank = size[owner] - before - (tied - 1) / 2
    rank_sum = np.bincount(owner, weights=relevant * rank, minlength=n_users)
    pairs = np.where(both, positive * (size - positive), 1)
    area = (rank_sum - positive * (positive + 1) / 2) / pairs
    discount = np.append(0, np.cumsum(1 / np.log2(np.arange(2, CUTOFF + 2))))
    end, start = (np.minimum(ranks, CUTOFF) for ranks in (before + tied, before))
    gains = relevant / tied * (discount[end] - discount[start])
    dcg = np.bincount(owner, weights=gains, minlength=n_users)
    ideal = discount[np.minimum(positive, CUTOFF).astype(np.int64)]
    reciprocal = np.zeros(n_users)
    hits = np.flatnonzero(relevant)
    hit = hits[np.diff(owner[hits], prepend=-1) != 0]  # each user's first tie with a positive
    reciprocal[owner[hit]] = _first_reciprocal(before[hit], tied[hit], relevant[hit])
    return UserRankings(
        size.astype(np.float64),
        of_both(area),
        of_both(dcg / np.where(both, ideal, 1)),
        of_both(reciprocal),
    )


def _first_reciprocal(before: Ints, tied: Ints, relevant: Floats) -> Floats:
    """Expected ``1 / rank`` of the first of `relevant` among `tied` rows after `before` others."""
    expected = np.zeros(len(tied))
    chance = relevant / tied  # that the first is at place j; 0 once too few places are left
    live, j = np.arange(len(tied)), 1
    while len(live):
        expected[live] += chance / (before[live] + j)
        chance = chance * ((tied[live] - j - relevant[live] + 1) / np.maximum(tied[live] - j, 1))
        live, chance, j = live[chance > 0], chance[chance > 0], j + 1
    return expected

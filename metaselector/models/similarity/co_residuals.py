"""Similarity by how the residuals of two items go together in training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.models.similarity.pairs import (
    MOST_PAIRS,
    item_field,
    item_ids,
    item_of,
    over_pairs,
)

CACHED_ITEMS = 4096
"""Catalogues of up to this many items keep the similarities that were computed: 64 MiB."""


class CoResiduals:
    """Correlation of the residuals of two items over the users who have both in training.

    With r_ua the mean residual ``y - p`` of the training rows of user u and item a, and the sums
    over the n users with both items, it is

    ``n / (n + shrink) * sum_u r_ua r_ub / sqrt(sum_u r_ua^2 * sum_u r_ub^2)``

    and 0 if n or a sum of squares is 0. Residuals are not centred: if both items are better liked
    than predicted by the same users, they are alike. The factor is that of Bell and Koren
    ("Scalable Collaborative Filtering with Jointly Derived Neighborhood Interpolation Weights",
    ICDM 2007, section 3.1). Items that are not in the vocabulary have similarity 0.

    Memory is that of a few copies of the training rows, and never grows with the square of the
    catalogue beyond :data:`CACHED_ITEMS`.

    Args:
        dataset: with labels of 0 and 1; with several tasks, the first one counts.
        base_models: not used.
        training_rows: int64 ``[n]``; labels of other rows are not read.
        probabilities: ``[n]``, what is predicted for them, such as the base models' mean.
        shrink: number of common users at which the correlation is halved, 0 or more.
        cached_items: replaces :data:`CACHED_ITEMS`; results do not depend on it.

    Attributes:
        names: ``("co-residuals",)``; empty in tabular data.

    Raises:
        ValueError: `shrink` is negative or non-finite.
    """

    names: tuple[str, ...]

    def __init__(
        self,
        dataset: EncodedDataset,
        base_models: Mapping[str, nn.Module],
        training_rows: Ints,
        probabilities: NDArray[np.floating],
        shrink: float = 10.0,
        cached_items: int = CACHED_ITEMS,
    ) -> None:
        if not (math.isfinite(shrink) and shrink >= 0):
            raise ValueError(f"shrink must be a number of at least 0, got {shrink}")
        field = item_field(dataset.schema)
        self.names = () if field is None else ("co-residuals",)
        if field is None:
            return
        self._shrink = shrink
        items = len(field.vocabulary)
        self._residuals = _mean_residuals(dataset, training_rows, probabilities, items)
        self._raters = np.diff(self._residuals.indptr)
        self._cache = _Cache(items) if items <= cached_items else None

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        support, query = (
            item_ids(dataset, item_of(dataset, rows)) for rows in (episodes.support, episodes.query)
        )
        if self._cache is None:
            return over_pairs(support, query, self._computed, self._cost).unsqueeze(-1)
        return over_pairs(support, query, self._cached).unsqueeze(-1)

    def _cached(self, support: Ints, query: Ints) -> NDArray[np.float32]:
        assert self._cache is not None
        known, values = self._cache.known, self._cache.values
        missing = support[~known[support]]
        most = max(MOST_PAIRS // len(known), 1)
        for start in range(0, len(missing), most):
            some = missing[start : start + most]
            values[some] = self._computed(some, np.arange(len(known)))
            known[some] = True
        return values[np.ix_(support, query)]

    def _computed(self, support: Ints, query: Ints) -> NDArray[np.float64]:
        a, b = self._residuals[support], self._residuals[query].T.tocsr()
        squares = _product(a, a.data**2, b, 1) * _product(a, 1, b, b.data**2)
        common = _product(a, 1, b, 1)
        correlations = _product(a, a.data, b, b.data) / np.sqrt(np.where(squares > 0, squares, 1))
        weights = common / np.where(common > 0, common + self._shrink, 1)
        return np.clip(weights * correlations, -1, 1)

    def _cost(self, support: Ints, query: Ints) -> float:
        """Rough number of operations of :meth:`_computed`."""
        users = self._residuals.shape[1]
        a, b = (float(self._raters[items].sum()) for items in (support, query))
        return 8 * a * b / users + 10 * (a + b + len(support) * len(query)) + users + 500_000


class _Cache:
    """Rows of the similarities of all items, float32 ``[I, I]``, and whether they are known."""

    def __init__(self, items: int) -> None:
        self.values = np.empty((items, items), dtype=np.float32)
        self.known = np.zeros(items, dtype=bool)


def _mean_residuals(
    dataset: EncodedDataset, rows: Ints, probabilities: NDArray[np.floating], items: int
) -> sparse.csr_array:
    """Mean residual of each item and user, float64 ``[I, users]``, where there is one."""
    item = item_ids(dataset, item_of(dataset, rows))
    user = np.searchsorted(dataset.user_offsets, rows, side="right") - 1
    residual = dataset.labels[rows].astype(np.float64) - probabilities
    known = item >= 0
    place, shape = (item[known], user[known]), (items, dataset.num_users)
    sums = sparse.coo_array((residual[known], place), shape=shape).tocsr()
    counts = sparse.coo_array((np.ones(len(place[0])), place), shape=shape).tocsr()
    sums.data /= counts.data
    return sums


def _product(
    a: sparse.csr_array,
    of_a: NDArray[np.float64] | int,
    b: sparse.csr_array,
    of_b: NDArray[np.float64] | int,
) -> NDArray[np.float64]:
    """Dense product of matrices with the entries of `a` and `b`, but other values there."""
    left, right = (
        sparse.csr_array(
            (np.broadcast_to(values, m.data.shape).astype(np.float64), m.indices, m.indptr), m.shape
        )
        for m, values in ((a, of_a), (b, of_b))
    )
    dense: NDArray[np.float64] = (left @ right).toarray()
    return dense

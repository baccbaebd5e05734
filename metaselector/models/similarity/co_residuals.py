"""Similarity by how the residuals of two items go together in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.models.similarity.pairs import (
    MOST_PAIRS,
    cost_of_pairs,
    item_field,
    item_ids,
    item_of,
    over_pairs,
)
from metaselector.models.similarity.residuals import ResidualMatrix, compact, mean_residuals

CACHED_ITEMS = 4096
"""Similarities among this many items, the most frequent, are kept once computed: 64 MiB."""


class CoResiduals:
    """Correlation of the residuals of two items over the users who have both in training.

    With r_ua the mean residual ``y - p`` of the training rows of user u and item a, and the sums
    over the n users with both items, it is

    ``n / (n + shrink) * sum_u r_ua r_ub / sqrt(sum_u r_ua^2 * sum_u r_ub^2)``

    and 0 if n or a sum of squares is 0. Residuals are rounded to float32, and not centred: if both
    items are better liked than predicted by the same users, they are alike. The factor is that of
    Bell and Koren ("Scalable Collaborative Filtering with Jointly Derived Neighborhood
    Interpolation Weights", ICDM 2007, section 3.1). Items that are not in the vocabulary have
    similarity 0.

    Only pairs that occur together in episodes are computed, from sparse residuals, and those among
    the most frequent items are kept. So memory is that of a few copies of the training rows,
    however many items there are.

    Args:
        dataset: with labels of 0 and 1; with several tasks, the first one counts.
        base_models: not used.
        training_rows: int64 ``[n]``; labels of other rows are not read.
        probabilities: ``[n]``, what is predicted for them, such as the base models' mean.
        shrink: number of common users at which the correlation is halved, 0 or more.
        cached_items: 0 or more, in place of :data:`CACHED_ITEMS`; results do not depend on it.

    Attributes:
        names: ``("co-residuals",)``; empty in tabular data.

    Raises:
        ValueError: `shrink` is negative or non-finite, or `cached_items` is negative.
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
        if cached_items < 0:
            raise ValueError(f"cached_items must be at least 0, got {cached_items}")
        field = item_field(dataset.schema)
        self.names = () if field is None else ("co-residuals",)
        if field is None:
            return
        residuals = mean_residuals(
            dataset, training_rows, np.asarray(probabilities, np.float64), len(field.vocabulary)
        )
        self._matrix = ResidualMatrix(compact(residuals), shrink)
        self._cached = _Cached(self._matrix, cached_items)

    def state(self) -> dict[str, Tensor]:
        """The residuals, without who the users are; see :meth:`ResidualMatrix.state`."""
        return self._matrix.state()

    @classmethod
    def from_state(cls, schema: Schema, state: Mapping[str, Tensor]) -> Self:
        """Restore it from :meth:`state`; raises :class:`ValueError` if that is damaged."""
        made, field = cls.__new__(cls), item_field(schema)
        items = 0 if field is None else len(field.vocabulary)
        made.names = ("co-residuals",)
        made._matrix = ResidualMatrix.from_state(state, items)
        made._cached = _Cached(made._matrix, CACHED_ITEMS)
        return made

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        support, query = (
            item_ids(dataset, item_of(dataset, rows)) for rows in (episodes.support, episodes.query)
        )
        return over_pairs(support, query, self._block, self._cost).unsqueeze(-1)

    def _block(self, support: Ints, query: Ints) -> NDArray[np.float64]:
        s, q = self._cached.has(support), self._cached.has(query)  # bool [a], [b]
        found = np.empty((len(support), len(query)))
        found[np.ix_(s, q)] = self._cached.between(support[s], query[q])
        found[~s] = self._matrix.between(support[~s], query)
        found[np.ix_(s, ~q)] = self._matrix.between(query[~q], support[s]).T
        return found

    def _cost(self, support: Ints, query: Ints) -> float:
        s, q = self._cached.has(support), self._cached.has(query)
        computed = self._matrix.cost(support[~s], query) + self._matrix.cost(query[~q], support[s])
        return cost_of_pairs(support, query) + computed


class _Cached:
    """Correlations among the most frequent items, by rows, computed when first needed."""

    def __init__(self, matrix: ResidualMatrix, items: int) -> None:
        self._matrix = matrix
        self._items = np.argsort(-matrix.raters, kind="stable")[:items]
        self._place = np.full(len(matrix.raters), -1)
        self._place[self._items] = np.arange(len(self._items))
        self._columns = matrix.columns(self._items)
        self._values = np.empty((len(self._items), len(self._items)), dtype=np.float32)
        self._known = np.zeros(len(self._items), dtype=bool)

    def has(self, items: Ints) -> NDArray[np.bool_]:
        return self._place[items] >= 0

    def between(self, rows: Ints, columns: Ints) -> NDArray[np.float32]:
        places = self._place[rows]
        missing = places[~self._known[places]]
        most = max(MOST_PAIRS // len(self._items), 1) if len(missing) else 1
        for start in range(0, len(missing), most):
            some = missing[start : start + most]
            self._values[some] = self._matrix.among(self._items[some], self._columns)
            self._known[some] = True
        return self._values[np.ix_(places, self._place[columns])]

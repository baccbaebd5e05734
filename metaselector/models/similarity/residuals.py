"""Correlations of the residuals of items, for some pairs of a large sparse matrix at a time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.models.similarity.pairs import item_ids, item_of
from metaselector.models.similarity.saving import arrays

_PRODUCT, _ENTRY, _PAIR, _CALL = 8, 1, 2, 20_000
"""Rough relative costs: of a product of two residuals, of a residual that is looked at, of a pair,
and of a call."""

_USERS = 4096
"""Users whose residuals are summed at a time."""


class ResidualMatrix:
    """Mean residuals of I items and all users, and the correlations of items.

    See :class:`~metaselector.models.similarity.co_residuals.CoResiduals` for the formula. It is
    computed in float64; the residuals are kept as they are, by item and by user.

    Args:
        residuals: float ``[I, users]``, sparse; an explicit 0 counts as a residual.
        shrink: number of common users at which a correlation is halved.
    """

    def __init__(self, residuals: sparse.csr_array, shrink: float) -> None:
        self._shrink = shrink
        self._by_item = _short(residuals)
        self._by_user = _short(self._by_item.T.tocsr())
        self.raters = np.diff(residuals.indptr)
        """Users with each item, ``[I]``."""
        self._rated = np.diff(self._by_user.indptr)
        # Residuals of these users, of any item.
        ones = np.ones_like(residuals.data, dtype=np.float64)
        pattern = sparse.csr_array((ones, residuals.indices, residuals.indptr), residuals.shape)
        self._reach = pattern @ self._rated.astype(np.float64)

    def state(self) -> dict[str, Tensor]:
        """What :meth:`from_state` restores it from.

        Returns:
            ``raters``, int32 ``[I]``, users of each item; ``users``, int32 ``[n]``, the users of
            the first item, then of the second, and so on; ``residuals``, float32 ``[n]``, theirs;
            ``shrink``, float64.
        """
        entries = self._by_item
        values = entries.data.astype(np.float32), entries.indices.astype(np.int32)
        residuals, users = map(torch.from_numpy, values)
        raters = torch.from_numpy(self.raters.astype(np.int32))
        shrink = torch.tensor(self._shrink, dtype=torch.float64)
        return {"raters": raters, "users": users, "residuals": residuals, "shrink": shrink}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], items: int) -> Self:
        """Restore a matrix of so many items; raises :class:`ValueError` if `state` is damaged."""
        raters, users, residuals, shrink = arrays(
            state,
            {
                "raters": (torch.int32, 1),
                "users": (torch.int32, 1),
                "residuals": (torch.float32, 1),
                "shrink": (torch.float64, 0),
            },
        )
        if len(raters) != items:
            raise ValueError(f"'raters' has {len(raters)} items, not {items}")
        n, starts = len(users), np.concatenate([[0], np.cumsum(raters, dtype=np.int64)])
        if len(residuals) != n or (raters < 0).any() or starts[-1] != n:
            raise ValueError(f"'raters' and 'residuals' do not fit {n} 'users'")
        item = np.repeat(np.arange(items), raters)
        ascending = (np.diff(users) > 0) | (np.diff(item) > 0)
        if n and not (ascending.all() and users.min() >= 0 and users.max() < n):
            raise ValueError("'users' are not ascending within an item, or out of range")
        if (np.abs(residuals) > 1).any() or shrink < 0:
            raise ValueError("'residuals' or 'shrink' are out of range")
        shape = items, int(users.max(initial=-1)) + 1
        entries = residuals, users, starts
        return cls(sparse.csr_array(entries, shape=shape), float(shrink))

    def between(self, rows: Ints, columns: Ints) -> NDArray[np.float64]:
        """Correlations of items, ``[len(rows), len(columns)]``; `columns` are distinct."""
        if not len(rows) or not len(columns):
            return np.zeros((len(rows), len(columns)))
        own, users, places = self._own(rows)
        # Of the columns' residuals, those of `users`: from all of the columns, or of the users.
        if self.raters[columns].sum() <= self._rated[users].sum():
            others = _kept(self._by_item[columns], places, len(users)).T.tocsr()
        else:
            others = _kept(self._by_user[users], self._places(columns), len(columns))
        return self._correlations(own, others)

    def columns(self, items: Ints) -> sparse.csr_array:
        """The residuals of some items by user, for :meth:`among`; `items` are distinct."""
        return _kept(self._by_user, self._places(items), len(items))

    def among(self, rows: Ints, columns: sparse.csr_array) -> NDArray[np.float64]:
        """As :meth:`between`, for columns of :meth:`columns`."""
        own, users, _ = self._own(rows)
        return self._correlations(own, columns[users])

    def cost(self, rows: Ints, columns: Ints) -> float:
        """What :meth:`between` costs, relative to other calls, if users rate independently."""
        if not len(rows) or not len(columns):
            return 0
        a, b = (float(self.raters[items].sum()) for items in (rows, columns))
        users = self._by_item.shape[1]
        entries = a + min(b, float(self._reach[rows].sum())) + users / 8
        return (
            _PRODUCT * a * b / users + _ENTRY * entries + _PAIR * len(rows) * len(columns) + _CALL
        )

    def _own(self, rows: Ints) -> tuple[sparse.csr_array, Ints, NDArray[np.int32]]:
        """Residuals of items by the users who have one of them, these users, and their places."""
        own = self._by_item[rows]
        has = np.zeros(own.shape[1], dtype=bool)
        has[own.indices] = True
        users = np.flatnonzero(has)
        places = np.full(len(has), -1, dtype=np.int32)
        places[users] = np.arange(len(users))
        entries = own.data, places[own.indices], own.indptr
        return sparse.csr_array(entries, shape=(len(rows), len(users))), users, places

    def _places(self, items: Ints) -> NDArray[np.int32]:
        """Place of each item in `items`; -1 if it is not among them."""
        places = np.full(len(self.raters), -1, dtype=np.int32)
        places[items] = np.arange(len(items))
        return places

    def _correlations(
        self, rows: sparse.csr_array, columns: sparse.csr_array
    ) -> NDArray[np.float64]:
        """Of items ``[a, users]`` with items ``[users, b]``."""
        own, others = _Three.of(rows), _Three.of(columns)

        def total(a: sparse.csr_array, b: sparse.csr_array) -> NDArray[np.float64]:
            dense: NDArray[np.float64] = (a @ b).toarray()
            return dense  # sums over users, in the same order whatever the rows and columns

        squares = total(own.squares, others.ones) * total(own.ones, others.squares)
        common = total(own.ones, others.ones)
        correlations = total(own.residuals, others.residuals)
        correlations /= np.sqrt(np.where(squares > 0, squares, 1))
        correlations *= common / np.where(common > 0, common + self._shrink, 1)
        return np.clip(correlations, -1, 1)


class _Three(NamedTuple):
    """Float64 matrices with residuals, their squares, and ones, at the same places."""

    residuals: sparse.csr_array
    squares: sparse.csr_array
    ones: sparse.csr_array

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> _Three:
        residuals = matrix.data.astype(np.float64)
        values = residuals, residuals**2, np.ones_like(residuals)
        return cls(
            *(sparse.csr_array((of, matrix.indices, matrix.indptr), matrix.shape) for of in values)
        )


def _kept(matrix: sparse.csr_array, places: NDArray[np.int32], count: int) -> sparse.csr_array:
    """The columns of `matrix` that have a place, which becomes their number; -1 is none."""
    at = places[matrix.indices]
    keep = at >= 0
    ends = np.concatenate([[0], np.cumsum(keep, dtype=matrix.indptr.dtype)])[matrix.indptr]
    entries = matrix.data[keep], at[keep], ends.astype(matrix.indptr.dtype)
    return sparse.csr_array(entries, shape=(matrix.shape[0], count))


def _short(matrix: sparse.csr_array) -> sparse.csr_array:
    """`matrix` with indices of 32 bits, if they suffice."""
    if matrix.nnz > np.iinfo(np.int32).max:
        return matrix
    entries = matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return sparse.csr_array(entries, shape=matrix.shape)


def mean_residuals(
    dataset: EncodedDataset, rows: Ints, probabilities: NDArray[np.float64], items: int
) -> sparse.csr_array:
    """Mean of ``y - p`` over the rows of each user and item, float64 ``[users, items]``.

    Items are in the order of the vocabulary. Rows without a label do not count.
    """
    if (rows[1:] < rows[:-1]).any():
        order = np.argsort(rows, kind="stable")
        rows, probabilities = rows[order], probabilities[order]
    # Whole users at a time, so that what lies between takes little memory.
    users = [*range(0, dataset.num_users, _USERS), dataset.num_users]
    starts = np.searchsorted(rows, dataset.user_offsets[users])
    blocks = [
        _of_users(dataset, range(*users[i : i + 2]), rows[a:b], probabilities[a:b], items)
        for i, (a, b) in enumerate(pairwise(starts))
    ]
    return sparse.vstack(blocks, format="csr")


def _of_users(
    dataset: EncodedDataset,
    users: range,
    rows: Ints,
    probabilities: NDArray[np.float64],
    items: int,
) -> sparse.csr_array:
    """The means of consecutive users, whose rows these are."""
    user = np.searchsorted(dataset.user_offsets, rows, side="right") - 1 - users.start
    item = item_ids(dataset, item_of(dataset, rows))
    residual = dataset.labels[rows].astype(np.float64) - probabilities
    known = (item >= 0) & ~np.isnan(residual)
    place, shape = (user[known], item[known]), (len(users), items)
    sums = sparse.coo_array((residual[known], place), shape=shape).tocsr()
    counts = sparse.coo_array((np.ones(len(place[0])), place), shape=shape).tocsr()
    sums.data /= counts.data
    return _short(sums)


def compact(residuals: sparse.csr_array) -> sparse.csr_array:
    """Round residuals to float32, and leave out users without any.

    The others are sorted by a number that only depends on their own residuals. So their order does
    not give away who they are, and sums over users do not depend on their order in the data.

    Args:
        residuals: float64 ``[users, items]``, sparse.

    Returns:
        float32 ``[items, users]``.
    """
    rounded = residuals.data.astype(np.float32)
    positive = rounded.astype(np.float64) + 2  # so that residuals of 0 count
    weights = np.random.default_rng(0).random(residuals.shape[1])
    entries = residuals.indices, residuals.indptr
    key = sparse.csr_array((positive, *entries), residuals.shape) @ weights
    users = np.flatnonzero(np.diff(residuals.indptr))
    by_user = sparse.csr_array((rounded, *entries), residuals.shape)
    return by_user[users[np.argsort(key[users], kind="stable")]].T.tocsr()

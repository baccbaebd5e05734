"""Metrics of fixed predictions under user weights, for many weightings at once.

A weight is how often a user was drawn, and applies to all rows of the user. What a metric needs of
the rows is collected once: sums by user for means, the order of the rows for AUC. A weighting then
costs products of these, and no pass over predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from metaselector.data.interactions import Floats, Ints

Weighted = Callable[[Floats], Floats]
"""Maps user weights, whole numbers ``[U, R]``, to a metric of M models, ``[M, R]``."""

Flags = NDArray[np.bool_]
_DEPTH, _WIDTH = 16, 128
"""Steps of a column and columns of a tile: tiles of 128 weightings fit the processor's cache."""
_EXACT = 2**24  # float32 has all whole numbers below


def weighted_mean(sums: Floats, sizes: Floats) -> Weighted:
    """Ratio of totals over users.

    Args:
        sums: of each model over each user's rows, ``[M, U]``.
        sizes: what the sums are divided by, ``[U]``.

    Returns:
        nan for weightings without a user of positive size.

    Example:
        >>> mean = weighted_mean(np.array([[1.0, 6.0]]), np.array([1.0, 2.0]))
        >>> mean(np.array([[1.0, 2.0], [1.0, 0.0]]))  # both users once; the first one twice
        array([[2.33333333, 1.        ]])
    """
    # A matrix product may round equal rows differently, and equal models must not differ.
    kept, inverse = _distinct(sums)
    distinct = sums[kept]

    def mean(weights: Floats) -> Floats:
        totals = _product(np.vstack([distinct, sizes]), weights)
        with np.errstate(invalid="ignore"):
            ratios: Floats = totals[:-1] / totals[-1]
        return ratios[inverse]

    return mean


def weighted_auc(y: Floats, p: Floats, codes: Ints, n_users: int) -> Weighted:
    """AUC: the weight of pairs in which a positive row has the higher score, over all pairs.

    A tie counts one half. The pairs are counted in whole numbers, so the result is exact but for
    its last division. Rows are sorted once; a weighting then costs a sum over runs of rows of one
    class, and a product for each run.

    Args:
        y: 0 or 1, ``[N]``.
        p: scores of each model, ``[M, N]``.
        codes: ``[N]``, from 0 to U - 1.
        n_users: U.

    Returns:
        nan for weightings with rows of a single class.

    Example:
        >>> y, codes = np.array([1.0, 0.0, 1.0]), np.array([0, 1, 1])
        >>> auc = weighted_auc(y, np.array([[0.5, 0.5, 0.9]]), codes, n_users=2)
        >>> auc(np.array([[1.0, 2.0], [1.0, 1.0]]))  # both users once; the first one twice
        array([[0.75      , 0.66666667]])
    """
    positive = y == 1
    kept, inverse = _distinct(p)
    won = [_Wins(positive, p[model], codes) for model in kept]
    of_class = np.stack(
        [np.bincount(codes[rows], minlength=n_users) for rows in (positive, ~positive)]
    ).astype(np.float64)

    @torch.inference_mode()
    def area(weights: Floats) -> Floats:
        # The sums of float32 are several times faster.
        small = torch.from_numpy(weights).to(torch.float32).contiguous()
        large, most = torch.from_numpy(weights), int(weights.max(initial=0))
        pairs = np.prod(_product(of_class, weights), axis=0)
        wins = np.stack([each.of(small if each.exact(most) else large).numpy() for each in won])
        with np.errstate(invalid="ignore"):
            areas: Floats = wins / pairs
        return areas[inverse]

    return area


def linear_auc(y: Floats, p: Floats, codes: Ints, n_users: int) -> Weighted:
    """AUC to first order in the weights, for many users.

    With weights of mean 1, ``AUC + sum_u (w_u - 1) d_u``, where d_u is the derivative of
    :func:`weighted_auc` by the weight of user u. What is left out shrinks with the number of
    users U, while the spread over resamples shrinks with its square root. A weighting then costs a
    product over users instead of a pass over all rows. Source: the infinitesimal jackknife, Efron,
    "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982, chapter 6.

    Args:
        y, p, codes, n_users: as for :func:`weighted_auc`.

    Returns:
        nan for rows of a single class.

    Example:
        >>> y, codes = np.array([1.0, 0.0, 1.0]), np.array([0, 1, 1])
        >>> auc = linear_auc(y, np.array([[0.5, 0.5, 0.9]]), codes, n_users=2)
        >>> auc(np.ones((2, 1)))
        array([[0.75]])
    """
    positive = y == 1
    of_class = [np.bincount(codes[of], minlength=n_users) for of in (positive, ~positive)]
    positives, negatives = (float(sizes.sum()) for sizes in of_class)
    pairs = positives * negatives
    if not pairs:
        return lambda weights: np.full((len(p), weights.shape[1]), np.nan)
    kept, inverse = _distinct(p)
    areas, derivatives = [], []
    for scores in p[kept]:
        won = _won(positive, scores)
        area = won[positive].sum() / pairs
        areas.append(area)
        of_users = np.bincount(codes, weights=won, minlength=n_users) / pairs
        of_users -= area * (of_class[0] / positives + of_class[1] / negatives)
        derivatives.append(of_users)
    base, slopes = np.array(areas)[:, None], np.stack(derivatives)

    def area_of(weights: Floats) -> Floats:
        found: Floats = (base + _product(slopes, weights - 1))[inverse]
        return found

    return area_of


def _won(positive: Flags, scores: Floats) -> Floats:
    """For each row, how many rows of the other class it is in the right order with."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    upper = np.sort(scores[positive])
    lower = np.sort(scores[~positive])
    won = np.empty(len(scores))

    def between(of: Floats) -> Floats:  # how many of them are below each row, ties one half
        sides = (np.searchsorted(of, ranked, side) for side in ("left", "right"))
        below: Floats = sum(sides) / 2  # type: ignore[assignment]
        return below

    won[order] = np.where(positive[order], between(lower), len(upper) - between(upper))
    return won


def _product(sums: Floats, weights: Floats) -> Floats:
    """Matrix product; torch's, since it uses no more threads than the settings say."""
    product: Floats = (torch.from_numpy(sums) @ torch.from_numpy(weights)).numpy()
    return product


class _Bags(NamedTuple):
    """Rows in groups; a weighting of their users has one sum for each group.

    Attributes:
        users: int32 ``[n]``, of the rows, group by group.
        starts: int32, position of each group's first row.
    """

    users: Tensor
    starts: Tensor

    @classmethod
    def of(cls, users: Ints, groups: Ints, n_groups: int) -> Self:
        """Rows with their users and groups, both ``[n]``; groups may be empty."""
        sizes = np.bincount(groups, minlength=n_groups)
        ordered = users[np.argsort(groups, kind="stable")]
        starts = np.cumsum(sizes) - sizes
        return cls(*(torch.from_numpy(a.astype(np.int32)) for a in (ordered, starts)))

    def sums(self, weights: Tensor) -> Tensor:
        """Sums ``[groups, R]`` of user weights ``[U, R]``."""
        return embedding_bag(self.users, weights, self.starts, mode="sum")


class _Pair(NamedTuple):
    """Positive and negative rows in the same groups."""

    upper: _Bags
    lower: _Bags

    @classmethod
    def of(cls, positive: Flags, users: Ints, groups: Ints, n_groups: int) -> Self:
        """Rows with their labels, users and groups, each ``[n]``."""
        return cls(*(_Bags.of(users[of], groups[of], n_groups) for of in (positive, ~positive)))


class _Wins:
    """Weight of the pairs that a model has in the right order.

    Sorted by score, and within a tie with negative rows first, rows form steps: a run of negative
    rows, then a run of positive ones, which beat the negative rows of this step and all before. Of
    ties, this counts the whole, so half of their pairs is subtracted.
    """

    def __init__(self, positive: Flags, scores: Floats, codes: Ints) -> None:
        order = np.lexsort((positive, scores))
        labels, scores, users = positive[order], scores[order], codes[order]
        begins = np.ones(len(labels), dtype=bool)
        begins[1:] = labels[:-1] & ~labels[1:]
        step = np.cumsum(begins) - 1
        # Steps lie in columns of _DEPTH, so that running sums add whole rows of a tile.
        column, place = step // _DEPTH, step % _DEPTH
        n_columns = column[-1] + 1
        self._tiles = []
        for first in range(0, n_columns, _WIDTH):
            width = min(_WIDTH, n_columns - first)
            tile = slice(*np.searchsorted(column, (first, first + width)))
            groups = place[tile] * width + column[tile] - first
            self._tiles.append(_Pair.of(labels[tile], users[tile], groups, _DEPTH * width))
        tie = np.cumsum(np.diff(scores, prepend=scores[0]) > 0, dtype=np.int64)
        mixed = np.logical_and(*(number > 0 for number in _counts(labels, tie)))
        tied, number = mixed[tie], np.cumsum(mixed) - 1
        self._ties = _Pair.of(labels[tied], users[tied], number[tie[tied]], int(mixed.sum()))
        self._rows = _counts(labels, column)

    def exact(self, most: int) -> bool:
        """Whether float32 holds all numbers within a column, for weights of at most `most`."""
        upper, lower = self._rows
        return max((upper * lower).max() * most**2, max(upper.max(), lower.max()) * most) < _EXACT

    def of(self, weights: Tensor) -> Tensor:
        """Float64 ``[R]`` for weights ``[U, R]``."""
        n = weights.shape[1]
        won, below = torch.zeros(2, n, dtype=torch.float64)
        for tile in self._tiles:
            winners, losers = (bags.sums(weights).view(_DEPTH, -1, n) for bags in tile)
            for k in range(1, _DEPTH):
                losers[k] += losers[k - 1]
            totals = losers[-1].to(torch.float64)
            before = torch.cumsum(totals, 0) - totals + below
            won += (before * winners.sum(0)).sum(0)
            below += totals.sum(0)
            won += losers.mul_(winners).sum(0).sum(0, dtype=torch.float64)
        if len(self._ties.upper.starts):
            winners, losers = (bags.sums(weights).to(torch.float64) for bags in self._ties)
            won -= losers.mul_(winners).sum(0) / 2
        return won


def _counts(positive: Flags, groups: Ints) -> tuple[Ints, Ints]:
    """Numbers of positive and of negative rows by group."""
    n = int(groups[-1]) + 1
    upper, lower = (np.bincount(groups[of], minlength=n) for of in (positive, ~positive))
    return upper, lower


def _distinct(rows: Floats) -> tuple[list[int], list[int]]:
    """Positions of the rows that equal no earlier one; for each row, which of these it equals."""
    numbers: dict[bytes, int] = {}
    inverse = [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows]
    return [inverse.index(number) for number in range(len(numbers))], inverse

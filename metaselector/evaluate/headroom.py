"""Headroom: how much choosing one base model per user can win, without the oracle's luck.

The user-level oracle chooses on the rows that it is scored on, so with few rows most of its gain is
chance. The figures here are gains in mean loss per row on the best single model, the one with the
lowest mean loss on the same rows:

- ``oracle``: of the user-level oracle;
- ``chance``: of the same oracle after rows are permuted among users;
- ``split-half``: of choosing on half of a user's rows, scored on the other half;
- ``perfect-knowledge``: of knowing each user's true mean losses;
- ``evidence``: of choosing by the posterior mean after n rows of the user.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from metaselector.common.errors import UserError
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.intervals import LEVEL
from metaselector.evaluate.losses import user_codes
from metaselector.evaluate.variation import (
    contrasts,
    evidence,
    moments,
    parts,
    selection_gain,
    user_sums,
)

ROWS = (1, 2, 3, 5, 10, 20, 40, 80, 160)
"""Numbers of rows of evidence in the curve."""

SPLITS = 100
PERMUTATIONS = 200
_DRAWS = 2**16  # simulated pairs of users for a figure; the error is about 0.5 % of it
_DRAWS_RESAMPLED = 2**11  # for each resample; their mean is moved to that of all draws


class Figure(NamedTuple):
    """One figure with its 95 % interval.

    Attributes:
        name: such as ``"perfect-knowledge"``.
        models: positions of the base models to choose from.
        n: rows of evidence; None for other figures.
        value: in the unit of the losses.
        low, high: percentile interval of a bootstrap over users; for ``chance``, the middle 95 %
            of the permutations; nan where a figure has none.

    Example:
        >>> losses = [[0.1, 0.3], [0.2, 0.6], [0.7, 0.4]]
        >>> figure = headroom(losses, ["ann", "ann", "bob"], np.random.default_rng(0))[1]
        >>> figure.name, round(figure.value, 2)
        ('oracle', 0.1)
    """

    name: str
    models: tuple[int, ...]
    n: int | None
    value: float
    low: float
    high: float


def headroom(
    losses: ArrayLike,
    users: ArrayLike,
    generator: np.random.Generator,
    *,
    n_resamples: int = 1000,
    rows: Sequence[int] = ROWS,
    splits: int = SPLITS,
    permutations: int = PERMUTATIONS,
) -> list[Figure]:
    """Measure how much choosing one of K models for each user can win.

    With l_ik the loss of model k on row i, the figures are:

    - ``best-single``: ``min_k mean_i l_ik``;
    - ``oracle``: best-single minus ``sum_u min_k sum_{i of u} l_ik / N``;
    - ``chance``, ``chance-sd``: mean and standard deviation of ``oracle`` when rows are permuted
      among users, whose numbers of rows stay; ``chance-p``: one-sided p-value of ``oracle``,
      ``(1 + #{permuted >= oracle}) / (1 + permutations)``;
    - ``split-half``: mean gain over random splits. A user with n rows chooses on floor(n / 2) of
      them, or takes the best single model if n = 1, is scored on the rest and counts n times. The
      best single model is chosen on the same halves, so that neither choice is scored on its rows;
    - ``perfect-knowledge``: ``min_k m_k - E[min_k (m + b)_k]`` with b ~ N(0, between), the
      covariance between users by the method of moments (``variation.moments``);
    - ``between-share``: trace of that covariance, as a share of the trace for a row;
    - ``evidence``: the same where the posterior mean after n rows chooses, so that b has the
      covariance ``between (between + within / n)^-1 between``;
    - for K > 2, ``perfect-knowledge`` of each set without one model, and ``added``: how much lower
      the loss with perfect knowledge is for having that model.

    If chance gives ``between`` negative eigenvalues, it is split into positive semi-definite parts,
    and the gain of the negative part is subtracted. Setting them to 0 would find headroom where
    users do not differ. All figures but the oracle's may therefore be negative: read that as none.

    The order of rows and the names of users do not matter.

    Args:
        losses: ``[N, K]``, finite, such as logloss in nats.
        users: ``[N]``.
        generator: draws permutations, splits, resamples of users and simulated users.
        n_resamples: resamples of users for the intervals.
        rows: numbers of rows of evidence.
        splits: of each user's rows; 100 or more are recommended.
        permutations: of the rows among users.

    Raises:
        UserError: shapes do not match, a loss is not finite, a user is missing, there are fewer
            than two users, no user has two rows, or a number is below 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> users = np.repeat(np.arange(300), 10)
        >>> losses = 0.5 + 0.1 * rng.normal(size=(300, 2))[users] + rng.normal(size=(3000, 2))
        >>> for figure in headroom(losses, users, rng, n_resamples=200, rows=[5]):
        ...     if figure.name in ("oracle", "chance", "perfect-knowledge", "evidence"):
        ...         print(f"{figure.name:18} {figure.value:.2f}")
        oracle             0.19
        chance             0.18
        perfect-knowledge  0.07
        evidence           0.02
    """
    values, codes = _checked(losses, users)
    numbers = {"n_resamples": n_resamples, "splits": splits, "permutations": permutations}
    for name, number in (*numbers.items(), *(("rows", n) for n in rows)):
        if number < 1:
            raise UserError(f"{name}: {number} is below 1")
    values, codes = _canonical(values, codes)
    n_users, k = codes[-1] + 1, values.shape[1]
    sizes = np.bincount(codes)
    sums = _by_user(values, codes)
    drawn = generator.multinomial(n_users, np.full(n_users, 1 / n_users), n_resamples)
    weights = np.vstack([np.ones(n_users), drawn])  # [1 + R, U]
    total, mean = weights @ sizes, weights @ sums  # [1 + R], [1 + R, K]
    single = mean.min(axis=1) / total
    oracle = single - weights @ sums.min(axis=1) / total
    by_chance = _permuted(values, codes, permutations, generator)
    half = _split_halves(values, codes, weights, splits, generator)
    every, low_high = tuple(range(k)), np.percentile(by_chance, _ENDS)
    p = (1 + (by_chance >= oracle[0] - 1e-12).sum()) / (1 + permutations)
    return [
        _figure("best-single", every, single),
        _figure("oracle", every, oracle),
        Figure("chance", every, None, float(by_chance.mean()), *map(float, low_high)),
        Figure("chance-sd", every, None, float(by_chance.std()), math.nan, math.nan),
        Figure("chance-p", every, None, float(p), math.nan, math.nan),
        _figure("split-half", every, half / total),
        *_modelled(values, codes, weights, rows, generator),
    ]


_ENDS = (50 - LEVEL / 2, 50 + LEVEL / 2)


def _figure(name: str, models: tuple[int, ...], values: Floats, n: int | None = None) -> Figure:
    """The figure of the original users, ``values[0]``, with the interval of the resamples."""
    resampled = values[1:][~np.isnan(values[1:])]
    low, high = np.percentile(resampled, _ENDS) if len(resampled) else (math.nan, math.nan)
    return Figure(name, models, n, float(values[0]), float(low), float(high))


def _checked(losses: ArrayLike, users: ArrayLike) -> tuple[Floats, Ints]:
    try:
        values = np.asarray(losses, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError("losses are not an array of numbers") from error
    codes, names = user_codes(users)
    if values.ndim != 2 or codes.shape != values.shape[:1] or not values.shape[1]:
        raise UserError(
            f"losses must be [N, K] and users [N]; got {values.shape} and {codes.shape}"
        )
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        problem = f"{len(wrong):,} of {values.size:,} are not finite"
        raise UserError(f"losses: {problem}, the first in row {wrong[0, 0]}")
    if len(names) < 2:
        raise UserError(f"headroom needs at least 2 users; got {len(names)}")
    if len(names) == len(codes):
        raise UserError("headroom needs users with 2 or more rows; each user has only one")
    return values, codes


def _canonical(values: Floats, codes: Ints) -> tuple[Floats, Ints]:
    """Sort rows by user, and rows and users by their losses, so that no order matters."""
    order = np.lexsort(values.T)
    values, codes = values[order], codes[order]
    rank = np.lexsort((*_by_user(values, codes).T, np.bincount(codes)))
    place = np.empty_like(rank)
    place[rank] = np.arange(len(rank))
    order = np.argsort(place[codes], kind="stable")
    return values[order], place[codes][order]


def _by_user(values: Floats, codes: Ints) -> Floats:
    return np.stack([np.bincount(codes, weights=column) for column in values.T], axis=1)


def _permuted(
    values: Floats, codes: Ints, permutations: int, generator: np.random.Generator
) -> Floats:
    """The oracle's gain for each permutation of the rows."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    single = values.mean(axis=0).min()
    gains = np.empty(permutations)
    for i in range(permutations):
        shuffled = values[generator.permutation(len(values))]
        gains[i] = single - np.add.reduceat(shuffled, starts).min(axis=1).sum() / len(values)
    return gains


def _split_halves(
    values: Floats, codes: Ints, weights: Floats, splits: int, generator: np.random.Generator
) -> Floats:
    """Mean gain ``[1 + R]`` over splits, summed over users times their number of rows."""
    k, sizes = values.shape[1], np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    chooses = np.arange(len(codes)) - starts[codes] < (sizes // 2)[codes]
    totals = np.add.reduceat(values, starts)
    scale = (sizes / (sizes - sizes // 2) * (sizes > 1))[:, None]  # a lone row gains 0
    gain = np.zeros(len(weights))
    for _ in range(splits):
        order = np.argsort(codes + generator.random(len(codes)))  # within each user
        first = np.add.reduceat(values[order] * chooses[:, None], starts)
        second = (totals - first) * scale
        chosen = np.take_along_axis(second, first.argmin(axis=1)[:, None], axis=1)
        sums = weights @ np.hstack([first, second, chosen])  # [1 + R, 2 K + 1]
        best = sums[:, :k].argmin(axis=1)[:, None]
        gain += np.take_along_axis(sums[:, k:-1], best, axis=1)[:, 0] - sums[:, -1]
    return gain / splits


def _modelled(
    values: Floats, codes: Ints, weights: Floats, rows: Sequence[int], rng: np.random.Generator
) -> Iterator[Figure]:
    """The figures that follow from the moments."""
    k = values.shape[1]
    basis, every = contrasts(k), tuple(range(k))
    found = moments(user_sums(values @ basis, codes), weights)
    draws = rng.standard_normal((_DRAWS, k - 1))
    draws = np.stack([draws, -draws], axis=1).reshape(
        2 * _DRAWS, k - 1
    )  # pairs, so that means are 0
    more, less = parts(found.between)

    def gain(more: Floats, less: Floats, models: tuple[int, ...] = every) -> Floats:
        chosen = basis[list(models)]
        return _gain(found.mean, more, chosen, draws) - _gain(found.mean, less, chosen, draws)

    spread = np.trace(found.between, axis1=1, axis2=2)
    row_spread = spread + np.trace(found.within, axis1=1, axis2=2)
    perfect = gain(more, less)
    yield _figure("perfect-knowledge", every, perfect)
    share = np.divide(spread, row_spread, out=np.zeros_like(spread), where=row_spread != 0)
    yield _figure("between-share", every, share)
    for n in rows:
        gained = gain(evidence(more, found.within, n), evidence(less, found.within, n))
        yield _figure("evidence", every, gained, n)
    centre = found.mean @ basis.T  # [1 + R, K]
    for left_out in range(k) if k > 2 else ():
        kept = tuple(model for model in every if model != left_out)
        without = gain(more, less, kept)
        yield _figure("perfect-knowledge", kept, without)
        behind = centre[:, list(kept)].min(axis=1) - centre.min(axis=1)
        yield _figure("added", (left_out,), behind - without + perfect)


def _gain(mean: Floats, covariance: Floats, basis: Floats, draws: Floats) -> Floats:
    """Gains ``[1 + R]``; resamples use fewer draws, and the original users tell their error."""
    few = selection_gain(mean, covariance, basis, draws[:_DRAWS_RESAMPLED])
    exact = selection_gain(mean[:1], covariance[:1], basis, draws)
    gains = few * (exact / few[0] if few[0] > 0 else 1)
    gains[0] = exact[0]
    return gains

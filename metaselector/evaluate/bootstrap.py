"""The paired bootstrap over users: how sure the difference between two models is.

Users are resampled, not rows, because the rows of a user are not independent. A resample gives
every user a whole weight (how often it was drawn), and with it all of their rows, in every seed and
for every model alike. What is compared is the mean over the seeds, so that intervals and p-values
say what other users would have changed, for these seeds; how seeds differ is another question.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Progress, Silent
from metaselector.data.interactions import Ints
from metaselector.evaluate.alignment import by_seed
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.losses import Floats, row_logloss, user_codes

LEVEL = 95
"""Percent of the resamples that the interval holds."""

_TOGETHER = 16
"""Resamples at a time: of all multiples of a cache line the fastest, as cumulative sums of some ten
thousand rows then fit the processor's cache."""


class Difference(NamedTuple):
    """``metric(model) - metric(baseline)``, its 95 % percentile interval and its p-value."""

    difference: float
    low: float
    high: float
    p: float


Weighted = Callable[[Floats], Floats]
"""A metric ``[R]`` of fixed predictions as a function of user weights ``[U, R]``."""

Resampled = Mapping[tuple[int, str], Floats]
"""By seed and model, a metric ``[1 + R]``: of the users as they are, then of every resample."""


def resample(
    predictions: pd.DataFrame,
    metrics: Sequence[str],
    n_resamples: int,
    generator: np.random.Generator,
    progress: Progress | None = None,
) -> dict[str, Resampled]:
    """Score every model of every seed on the same resamples of the users.

    Args:
        predictions: the long table, any number of seeds, one task.
        metrics: of ``"auc"`` and ``"logloss"``.
        n_resamples: R; 10,000 or more for a p-value that survives a correction.
        generator: draws the users.
        progress: counts resamples.

    Raises:
        UserError: as :func:`metaselector.evaluate.alignment.align`, or a metric does not exist.

    Example:
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.4, 0.9, 0.2])
        >>> scores = resample(table, ["logloss"], 100, np.random.default_rng(0))
        >>> scores["logloss"][0, "fm"].shape  # as it is, and 100 times resampled
        (101,)
    """
    for metric in metrics:
        if metric not in _WEIGHTED:
            raise UserError(f"no bootstrap for metric '{metric}'; {nearest(metric, _WEIGHTED)}")
    seeds = dict(by_seed(predictions))
    codes, names = user_codes(np.concatenate([aligned.users for aligned in seeds.values()]))
    ends = np.cumsum([len(aligned.users) for aligned in seeds.values()])[:-1]
    scorers = {
        (metric, seed, model): _WEIGHTED[metric](aligned.y, p, users, len(names))
        for (seed, aligned), users in zip(seeds.items(), np.split(codes, ends), strict=True)
        for model, p in aligned.p.items()
        for metric in metrics
    }
    n_users, everyone = len(names), np.ones((len(names), 1))
    found = {key: [scorer(everyone)] for key, scorer in scorers.items()}
    with (progress or Silent()).task("bootstrap over users", n_resamples) as advance:
        for first in range(0, n_resamples, _TOGETHER):
            size = min(_TOGETHER, n_resamples - first)
            drawn = generator.multinomial(n_users, np.full(n_users, 1 / n_users), size)  # [R, U]
            weights = np.ascontiguousarray(drawn.T, dtype=np.float64)
            for key, scorer in scorers.items():
                found[key].append(scorer(weights))
            for _ in range(size):
                advance()
    return {
        metric: {key[1:]: np.concatenate(found[key]) for key in found if key[0] == metric}
        for metric in metrics
    }


def difference(scores: Resampled, pairs: Mapping[int, tuple[str, str]]) -> Difference:
    """How much two models differ on the mean over seeds, and how sure that is.

    Percentile interval, and the two-sided p-value that belongs to it, of R resampled differences d:
    ``min(1, 2 (1 + min(#{d <= 0}, #{d >= 0})) / (R + 1))``, where the added ones keep p above 0.
    Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Davison and
    Hinkley, "Bootstrap Methods and their Application", 1997, chapter 4.
    Resamples whose rows are all of one class have no AUC and are left out.

    Args:
        scores: one metric of :func:`resample`.
        pairs: by seed, the names of the two models.

    Raises:
        UserError: a model has no predictions.

    Example:
        >>> scores = {(0, "fm"): np.array([0.5, 0.4, 0.6]), (0, "lr"): np.array([0.7, 0.6, 0.7])}
        >>> found = difference(scores, {0: ("fm", "lr")})
        >>> round(found.difference, 2), round(found.p, 2)
        (-0.2, 0.67)
    """
    for seed, pair in pairs.items():
        for name in pair:
            if (seed, name) not in scores:
                known = [model for of, model in scores if of == seed]
                raise UserError(f"seed {seed}: no model '{name}'; {nearest(name, known)}")
    by_seed = [scores[seed, model] - scores[seed, base] for seed, (model, base) in pairs.items()]
    mean = np.mean(by_seed, axis=0)  # [1 + R]
    resampled = mean[1:][~np.isnan(mean[1:])]
    low, high = (
        np.percentile(resampled, [50 - LEVEL / 2, 50 + LEVEL / 2])
        if len(resampled)
        else (math.nan, math.nan)
    )
    beyond = min((resampled <= 0).sum(), (resampled >= 0).sum())
    p = min(1.0, 2 * (1 + beyond) / (len(resampled) + 1))
    return Difference(float(mean[0]), float(low), float(high), float(p))


def weighted_logloss(y: ArrayLike, p: ArrayLike, codes: Ints, n_users: int) -> Weighted:
    """Mean logloss under user weights, from one sum a user.

    Args:
        y, p: ``[N]``.
        codes: int64 ``[N]``, from 0 to U - 1.
        n_users: U.

    Raises:
        UserError: as metrics do.
    """
    y, p = checked_rows(y, p, codes)
    loss = np.bincount(codes, weights=row_logloss(y, p), minlength=n_users)
    size = np.bincount(codes, minlength=n_users)

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan where nobody with a row of this seed was drawn
            return loss @ weights / (size @ weights)

    return mean


def weighted_auc(y: ArrayLike, p: ArrayLike, codes: Ints, n_users: int) -> Weighted:
    """AUC under user weights in O(N) a resample, as rows are sorted once; arguments as above.

    Every positive row beats the weight of the negative rows with a lower score and half the weight
    of those with the same; nan where all weight is on one class.

    Raises:
        UserError: as metrics do.
    """
    labels, scores = checked_rows(y, p, codes)
    positive = labels == 1
    order = np.argsort(scores, kind="stable")
    above, below = order[positive[order]], order[~positive[order]]  # rows, sorted by score
    lower = np.searchsorted(scores[below], scores[above], "left")
    up_to_ties = np.searchsorted(scores[below], scores[above], "right")
    tied = np.flatnonzero(up_to_ties > lower)
    of_positive, of_negative = codes[above], codes[below]

    def area(weights: Floats) -> Floats:
        mine = weights[of_positive]  # [N positive, R]
        beaten = np.zeros((len(below) + 1, weights.shape[1]))  # by a score above the first n
        np.cumsum(weights[of_negative], axis=0, out=beaten[1:])
        won = np.einsum("nr,nr->r", mine, beaten[lower])
        if len(tied):
            half = (beaten[up_to_ties[tied]] - beaten[lower[tied]]) / 2
            won += np.einsum("nr,nr->r", mine[tied], half)
        with np.errstate(invalid="ignore"):
            return won / (mine.sum(axis=0) * beaten[-1])

    return area


_WEIGHTED: dict[str, Callable[[ArrayLike, ArrayLike, Ints, int], Weighted]] = {
    "auc": weighted_auc,
    "logloss": weighted_logloss,
}

"""Paired bootstrap over users: confidence intervals for the difference between two models.

Users are resampled, not rows, because the rows of a user are not independent. A resample gives each
user an integer weight, the number of times the user was drawn; it applies to all of the user's rows
in every seed and for every model. The mean over seeds is compared, so intervals and p-values
reflect which users were sampled, not seed noise.
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
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.alignment import LIST, Aligned, by_seed
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.lists import METRICS as WITHIN_LISTS
from metaselector.evaluate.lists import list_rankings
from metaselector.evaluate.losses import row_logloss, user_codes
from metaselector.evaluate.ranking import METRICS as RANKINGS
from metaselector.evaluate.ranking import user_rankings

LEVEL = 95
"""Confidence level in percent."""

_TOGETHER = 16
"""Resamples at a time: the fastest multiple of a cache line, since cumulative sums of about ten
thousand rows then fit the processor's cache."""


class Difference(NamedTuple):
    """``metric(model) - metric(baseline)``, its 95 % percentile interval and its p-value."""

    difference: float
    low: float
    high: float
    p: float


Weighted = Callable[[Floats], Floats]
"""Maps user weights ``[U, R]`` to a metric of fixed predictions, ``[R]`` or ``[models, R]``."""

Resampled = Mapping[tuple[int, str], Floats]
"""By seed and model, a metric ``[1 + R]``: on the original users, then on every resample."""


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
        metrics: of ``"auc"``, ``"logloss"``, :data:`metaselector.evaluate.ranking.METRICS` and, if
            the table has lists, :data:`metaselector.evaluate.lists.METRICS`.
        n_resamples: R; use 10,000 or more for p-values that are to be corrected.
        generator: draws the users.
        progress: counts resamples.

    Raises:
        UserError: as :func:`metaselector.evaluate.alignment.align`, or a metric is unknown.

    Example:
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.4, 0.9, 0.2])
        >>> scores = resample(table, ["logloss"], 100, np.random.default_rng(0))
        >>> scores["logloss"][0, "fm"].shape  # as it is, and 100 times resampled
        (101,)
    """
    known = metrics_of(predictions)
    for metric in metrics:
        if metric not in known:
            raise UserError(f"no bootstrap for metric '{metric}'; {nearest(metric, known)}")
    seeds = dict(by_seed(predictions))
    codes, names = user_codes(np.concatenate([aligned.users for aligned in seeds.values()]))
    ends = np.cumsum([len(aligned.users) for aligned in seeds.values()])[:-1]
    scorers = {
        (metric, seed): scorer
        for (seed, aligned), users in zip(seeds.items(), np.split(codes, ends), strict=True)
        for metric, scorer in _scorers(aligned, users, len(names), metrics).items()
    }
    n_users, original = len(names), np.ones((len(names), 1))
    scores = {key: [scorer(original)] for key, scorer in scorers.items()}
    with (progress or Silent()).task("bootstrap over users", n_resamples) as advance:
        for first in range(0, n_resamples, _TOGETHER):
            size = min(_TOGETHER, n_resamples - first)
            drawn = generator.multinomial(n_users, np.full(n_users, 1 / n_users), size)  # [R, U]
            weights = np.ascontiguousarray(drawn.T, dtype=np.float64)
            for key, scorer in scorers.items():
                scores[key].append(scorer(weights))
            for _ in range(size):
                advance()
    found: dict[str, dict[tuple[int, str], Floats]] = {metric: {} for metric in metrics}
    for metric, seed in scores:
        values = np.concatenate(scores[metric, seed], axis=1)  # [M, 1 + R]
        found[metric] |= {(seed, m): v for m, v in zip(seeds[seed].p, values, strict=True)}
    return dict(found)


def difference(scores: Resampled, pairs: Mapping[int, tuple[str, str]]) -> Difference:
    """Difference between two models in the mean over seeds, with interval and p-value.

    The interval is the percentile interval of R resampled differences d, and the two-sided p-value
    is ``min(1, 2 (1 + min(#{d <= 0}, #{d >= 0})) / (R + 1))``; adding 1 keeps p above 0. Resamples
    without the metric, such as AUC of rows of a single class, are left out. Sources: Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, chapter 4.

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
    """Mean logloss under user weights, from one sum per user.

    Args:
        y, p: ``[N]``.
        codes: int64 ``[N]``, from 0 to U - 1.
        n_users: U.

    Raises:
        UserError: a label or prediction is invalid, or lengths differ.
    """
    y, p = checked_rows(y, p, codes)
    loss = np.bincount(codes, weights=row_logloss(y, p), minlength=n_users)
    size = np.bincount(codes, minlength=n_users)

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan if no user with rows in this seed was drawn
            return loss @ weights / (size @ weights)

    return mean


def weighted_auc(y: ArrayLike, p: ArrayLike, codes: Ints, n_users: int) -> Weighted:
    """AUC under user weights, in O(N) per resample since rows are sorted once.

    Arguments and errors are those of :func:`weighted_logloss`. A positive row wins the weight of
    negative rows with a lower score and half the weight of those with the same score. nan if all
    weight is on one class.
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


def weighted_mean(values: Floats, sizes: Floats) -> Weighted:
    """Mean of users' values, whose own weights are `sizes`, under further user weights.

    A resample costs no pass over rows: it is a product of the users' weights with one sum per user.

    Args:
        values: ``[M, U]``.
        sizes: ``[U]``.
    """
    sums = values * sizes

    def mean(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # nan if no user with a value was drawn
            return sums @ weights / (sizes @ weights)

    return mean


_BY_ROW: dict[str, Callable[[ArrayLike, ArrayLike, Ints, int], Weighted]] = {
    "auc": weighted_auc,
    "logloss": weighted_logloss,
}
METRICS = (*_BY_ROW, *RANKINGS)
"""Metrics with intervals."""


def metrics_of(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Metrics with intervals that a long table has: those within lists need lists.

    Example:
        >>> metrics_of(pd.DataFrame({"seed": [0]}))
        ('auc', 'logloss', 'gauc', 'ndcg_10', 'mrr')
    """
    return (*METRICS, *WITHIN_LISTS) if LIST in predictions else METRICS


def _scorers(
    aligned: Aligned, codes: Ints, n_users: int, metrics: Sequence[str]
) -> dict[str, Weighted]:
    """One function by metric, of all M models of a seed: user weights ``[U, R]`` to ``[M, R]``."""
    found: dict[str, Weighted] = {}
    for metric in metrics:
        if metric in _BY_ROW:
            make = _BY_ROW[metric]
            found[metric] = _stacked(
                [make(aligned.y, p, codes, n_users) for p in aligned.p.values()]
            )
    wanted = [metric for metric in metrics if metric in RANKINGS]
    if wanted:
        ranked = [user_rankings(aligned.y, p, codes, n_users) for p in aligned.p.values()]
        for metric in wanted:
            values, sizes = zip(*(each.weighted(metric) for each in ranked), strict=True)
            found[metric] = weighted_mean(np.stack(values), sizes[0])  # sizes follow from labels
    lists, within = aligned.lists, [metric for metric in metrics if metric in WITHIN_LISTS]
    if lists is not None and within:
        of_lists = [list_rankings(aligned.y, p, codes, n_users, lists) for p in aligned.p.values()]
        for metric in within:
            means = np.stack([getattr(each, metric) for each in of_lists])
            found[metric] = weighted_mean(means, of_lists[0].counts)
    return found


def _stacked(scorers: Sequence[Weighted]) -> Weighted:
    return lambda weights: np.stack([scorer(weights) for scorer in scorers])

"""Intervals for the difference between two models: the paired bootstrap over users.

Users are resampled, not rows, because the rows of a user are not independent. A resample gives
every user a whole weight (how often it was drawn), and with it all of their rows; both models are
scored on the same resample.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from metaselector.errors import UserError, nearest
from metaselector.evaluate.alignment import align
from metaselector.evaluate.losses import Floats, Ints, row_logloss, user_codes
from metaselector.evaluate.metrics import METRICS

LEVEL = 95
"""Percent of the resamples that the interval holds."""


class Difference(NamedTuple):
    """``metric(model) - metric(baseline)`` and its 95 % percentile interval."""

    difference: float
    low: float
    high: float


Weighted = Callable[[Floats], float]
"""A metric of fixed predictions as a function of user weights ``[U]``."""


def bootstrap_difference(
    predictions: pd.DataFrame,
    model: str,
    baseline: str,
    metric: str,
    n_resamples: int,
    generator: np.random.Generator,
) -> Difference:
    """How much `model` differs from `baseline`, and how sure that is.

    Percentile interval of Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
    13. Resamples whose rows are all of one class have no AUC and are left out.

    Args:
        predictions: the long table of one seed and one task.
        model, baseline: names of two models.
        metric: ``"auc"`` or ``"logloss"``.
        n_resamples: 1000 or more for an interval to publish.
        generator: draws the users.

    Raises:
        UserError: as :func:`metaselector.evaluate.alignment.align`, or a model or metric that does
            not exist.
    """
    if metric not in _WEIGHTED:
        raise UserError(f"no bootstrap for metric '{metric}'; {nearest(metric, _WEIGHTED)}")
    aligned = align(predictions)
    p, base = aligned.of(model), aligned.of(baseline)
    codes, names = user_codes(aligned.users)
    of_model, of_baseline = (_WEIGHTED[metric](aligned.y, each, codes) for each in (p, base))
    differences = np.empty(n_resamples)
    for i in range(n_resamples):
        drawn = generator.integers(len(names), size=len(names))
        weights = np.bincount(drawn, minlength=len(names)).astype(np.float64)
        differences[i] = of_model(weights) - of_baseline(weights)
    differences = differences[~np.isnan(differences)]
    low, high = (
        np.percentile(differences, [50 - LEVEL / 2, 50 + LEVEL / 2])
        if len(differences)
        else (math.nan, math.nan)
    )
    score = METRICS[metric]
    difference = score(aligned.y, p, aligned.users) - score(aligned.y, base, aligned.users)
    return Difference(difference, float(low), float(high))


def weighted_logloss(y: ArrayLike, p: ArrayLike, codes: Ints) -> Weighted:
    """Mean logloss under user weights, from one sum a user.

    Args:
        y, p: ``[N]``.
        codes: int64 ``[N]``, from 0 to U - 1 without gaps.
    """
    loss = np.bincount(codes, weights=row_logloss(y, p))
    size = np.bincount(codes)
    return lambda weights: float(weights @ loss / (weights @ size))


def weighted_auc(y: ArrayLike, p: ArrayLike, codes: Ints) -> Weighted:
    """AUC under user weights in O(N), because rows are sorted once; arguments as above.

    Every positive row beats the weight of the negative rows with a lower score and half the weight
    of those with the same; nan where all weight is on one class.
    """
    scores = np.asarray(p, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    scores, labels, users = scores[order], np.asarray(y, dtype=np.float64)[order], codes[order]
    first = np.flatnonzero(np.diff(scores, prepend=-np.inf))  # of every run of equal scores

    def area(weights: Floats) -> float:
        row_weights = weights[users]
        positive = np.add.reduceat(row_weights * labels, first)
        negative = np.add.reduceat(row_weights * (1 - labels), first)
        beaten = np.cumsum(negative) - negative / 2
        pairs = positive.sum() * negative.sum()
        return float(positive @ beaten / pairs) if pairs else math.nan

    return area


_WEIGHTED: dict[str, Callable[[ArrayLike, ArrayLike, Ints], Weighted]] = {
    "auc": weighted_auc,
    "logloss": weighted_logloss,
}

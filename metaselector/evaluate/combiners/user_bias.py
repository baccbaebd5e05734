"""The mean of the base models, moved up or down for each user."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.special import expit

from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.combiners.contract import Predictions, logits, positions
from metaselector.evaluate.combiners.halves import choose, given_or_chosen
from metaselector.evaluate.losses import user_codes

VARIANCES = (0.0, *(2.0**power for power in range(-8, 4)))
"""Candidates for the prior's variance."""
_ITERATIONS = 200
_TOLERANCE = 1e-12


class UserBias:
    """``p = sigmoid(logit(q) + b_u)``, q the mean of the base probabilities.

    b_u is the maximum a posteriori estimate under a Gaussian prior with mean 0. It minimises
    ``sum_i logloss(y_i, sigmoid(logit(q_i) + b)) + b^2 / (2 variance)`` over the rows i of user u:
    a logistic regression with an intercept only (Platt, 1999, with the slope fixed at 1). Users
    without rows have b_u = 0.

    Args:
        variance: variance of the prior; None chooses from :data:`VARIANCES` by
            :func:`halves.choose`.

    Attributes:
        variance: the given variance, or the one chosen by the latest :meth:`fit`.
        biases: float64 ``[U + 1]`` by user in order of appearance, then 0; after :meth:`fit`.
    """

    biases: Floats

    def __init__(self, variance: float | None = None) -> None:
        self._given = self.variance = variance

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Fix the variance that predicts `after` best when fitted on `before`."""
        self._given = self.variance = choose(VARIANCES, UserBias, before, after)
        return self

    def fit(self, fitting: Predictions) -> Self:
        """Find the biases on all rows, with the given variance or one chosen on these rows."""
        self.variance = given_or_chosen(self._given, VARIANCES, UserBias, fitting)
        codes, self._names = user_codes(fitting.users)
        scores = logits(fitting.base.mean(axis=1))
        # The last element, at -1, is for users without rows.
        self.biases = np.append(map_biases(fitting.labels(), scores, codes, self.variance), 0.0)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        scores = logits(test.base.mean(axis=1))
        p: Floats = expit(scores + self.biases[positions(test.users, self._names)])
        return p


def map_biases(y: Floats, scores: Floats, codes: Ints, variance: float) -> Floats:
    """The biases of :class:`UserBias` for all users at once, by bracketed Newton's method.

    The derivative ``sum_i (sigmoid(scores_i + b) - y_i) + b / variance`` increases in b and changes
    sign within ``±n_u variance``. If a Newton step would leave the remaining bracket, or is more
    than half the previous step (Newton's method may oscillate), the bracket is bisected: Press et
    al., "Numerical Recipes", section 9.4.

    Args:
        y, scores: ``[M]``; labels, and logits without bias.
        codes: int64 ``[M]``, from 0 to U - 1 without gaps.
        variance: 0 or more.

    Returns:
        float64 ``[U]``.
    """
    size = np.bincount(codes).astype(np.float64)
    bias = np.zeros(len(size))
    if variance == 0:
        return bias
    low, high = -variance * size, variance * size
    moved_before = high - low
    for _ in range(_ITERATIONS):
        p = expit(scores + bias[codes])
        slope = np.bincount(codes, weights=p - y) + bias / variance
        curvature = np.bincount(codes, weights=p * (1 - p)) + 1 / variance
        low, high = np.where(slope < 0, bias, low), np.where(slope > 0, bias, high)
        step = -slope / curvature
        inside = (low <= bias + step) & (bias + step <= high)
        small = np.abs(step) <= np.maximum(moved_before / 2, _TOLERANCE)
        step = np.where(inside & small, step, (low + high) / 2 - bias)
        bias = bias + step
        moved_before = np.abs(step)
        if moved_before.max(initial=0) <= _TOLERANCE:
            break
    return bias

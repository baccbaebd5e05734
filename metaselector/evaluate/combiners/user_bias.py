"""The mean of the base models, moved up or down for each user."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.special import expit

from metaselector.data.interactions import Ints
from metaselector.evaluate.combiners.contract import Predictions, labelled, logits, positions
from metaselector.evaluate.combiners.halves import choose, halves
from metaselector.evaluate.losses import Floats, user_codes

VARIANCES = (0.0, *(2.0**power for power in range(-8, 4)))
"""Candidates for the prior's variance."""
_ITERATIONS = 200
_TOLERANCE = 1e-12


class UserBias:
    """``p = sigmoid(logit(q) + b_u)``, q the mean of the base probabilities.

    b_u is the maximum a posteriori under a Gaussian prior of mean 0: it minimises
    ``sum_i logloss(y_i, sigmoid(logit(q_i) + b)) + b^2 / (2 variance)`` over the rows i of user u,
    a logistic regression with nothing but an intercept (Platt, 1999, with the slope fixed at 1).
    A user without rows has b_u = 0.

    Args:
        variance: of the prior; None chooses among :data:`VARIANCES` by :func:`halves.choose`.

    Attributes:
        variance: the one given, or the one that the latest :meth:`fit` chose.
        biases: float64 ``[U + 1]`` by user in order of appearance, and 0; after :meth:`fit`.
    """

    biases: Floats

    def __init__(self, variance: float | None = None) -> None:
        self._given = self.variance = variance

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Fix the variance that predicts `after` best, fitted on `before`."""
        self._given = self.variance = choose(VARIANCES, UserBias, before, after)
        return self

    def fit(self, fitting: Predictions) -> Self:
        """Find the biases on all rows, with the variance given or chosen on them."""
        variance = self._given
        if variance is None:
            labelled(fitting)
            variance = choose(VARIANCES, UserBias, *halves(fitting))
        self.variance = variance
        codes, self._names = user_codes(fitting.users)
        scores = logits(fitting.base.mean(axis=1))
        # The last is for users without rows, whose position is -1.
        self.biases = np.append(map_biases(fitting.labels(), scores, codes, variance), 0.0)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        scores = logits(test.base.mean(axis=1))
        p: Floats = expit(scores + self.biases[positions(test.users, self._names)])
        return p


def map_biases(y: Floats, scores: Floats, codes: Ints, variance: float) -> Floats:
    """The b of :class:`UserBias` of all users at once, by Newton's method kept in a bracket.

    The derivative ``sum_i (sigmoid(scores_i + b) - y_i) + b / variance`` rises with b and changes
    sign within ``±n_u variance``. Where a step would leave what is left of that bracket, or is more
    than half of the one before (Newton's may swing to and fro for ever), the middle is taken: Press
    et al., "Numerical Recipes", section 9.4.

    Args:
        y, scores: ``[M]``; labels, and logits without a bias.
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

"""One convex combination of the base models for all users."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from metaselector.data.interactions import Floats
from metaselector.evaluate.combiners.contract import Predictions, labelled

_EPS = np.finfo(np.float64).eps


class Convex:
    """``p = sum_k w_k p_k`` with the weights on the simplex that minimise logloss.

    With l_ik the probability that model k assigns to the label of row i, w minimises
    ``-mean_i log sum_k w_k l_ik``. This is convex in w, and smooth and unconstrained in s with
    ``w = softmax(s)``; the gradient is ``w_k (1 - mean_i l_ik / sum_j w_j l_ij)``. Source: linear
    opinion pools with likelihood-based weights, Hall and Mitchell, "Combining density forecasts",
    International Journal of Forecasting 23, 2007.

    Attributes:
        weights: float64 ``[K]``, after :meth:`fit`.
    """

    weights: Floats

    def fit(self, fitting: Predictions) -> Self:
        """Find the weights with L-BFGS, starting from equal weights."""
        y = labelled(fitting)[:, None]
        likelihood = np.clip(y * fitting.base + (1 - y) * (1 - fitting.base), _EPS, 1)  # [M, K]

        def loss_and_gradient(scores: Floats) -> tuple[float, Floats]:
            weights = softmax(scores)
            mixed = likelihood @ weights
            gain = (likelihood / mixed[:, None]).mean(axis=0)
            return float(-np.log(mixed).mean()), weights * (1 - gain)

        start = np.zeros(fitting.base.shape[1])
        options = {"gtol": 1e-9, "ftol": 0, "maxiter": 1000}
        optimum = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
        self.weights = softmax(optimum.x)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        # The sum of the weights may exceed 1 by rounding.
        mixed: Floats = np.clip(test.base @ self.weights, 0, 1)
        return mixed

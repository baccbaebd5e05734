"""Weights of each user's own, by how well the base models did on the user's rows."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.special import softmax

from metaselector.evaluate.combiners.contract import Predictions, labelled, positions
from metaselector.evaluate.combiners.halves import choose, halves
from metaselector.evaluate.losses import Floats, user_codes, user_losses

ETAS = (0.0, *(2.0**power for power in range(-6, 7)))
"""Candidates for eta."""


class UserExponential:
    """``p = sum_k w_uk p_k`` with ``w_uk`` in proportion to ``exp(-eta L_uk)``.

    L_uk is the summed logloss of model k on the rows of user u: exponentially weighted averaging
    (Vovk, "Aggregating strategies", COLT 1990). With eta 1 the w are posterior probabilities of the
    models; with eta 0 this is the mean, with eta to infinity the user's best model. A user without
    rows gets equal weights.

    Args:
        eta: the rate; None chooses among :data:`ETAS` by :func:`halves.choose`.

    Attributes:
        eta: the one given, or the one that the latest :meth:`fit` chose.
    """

    def __init__(self, eta: float | None = None) -> None:
        self._given = self.eta = eta

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Fix the eta that predicts `after` best, fitted on `before`."""
        self._given = self.eta = choose(ETAS, UserExponential, before, after)
        return self

    def fit(self, fitting: Predictions) -> Self:
        """Weigh by the losses of all rows, by the rate given or chosen on them."""
        eta = self._given
        if eta is None:
            labelled(fitting)
            eta = choose(ETAS, UserExponential, *halves(fitting))
        self.eta = eta
        codes, self._names = user_codes(fitting.users)
        losses = user_losses(fitting.labels(), fitting.base, codes)  # [U, K]
        # The last row is for users without rows, whose position is -1.
        losses = np.vstack([losses, np.zeros(losses.shape[1])])
        self._weights = softmax(-eta * losses, axis=1)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        weights = self._weights[positions(test.users, self._names)]  # [N, K]
        mixed: Floats = np.clip((weights * test.base).sum(axis=1), 0, 1)
        return mixed

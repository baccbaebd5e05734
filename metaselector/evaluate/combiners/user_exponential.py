"""Weights for each user, from the base models' losses on the user's rows."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.special import softmax

from metaselector.data.interactions import Floats
from metaselector.evaluate.combiners.contract import Predictions, positions
from metaselector.evaluate.combiners.halves import choose, given_or_chosen
from metaselector.evaluate.losses import user_codes, user_losses

ETAS = (0.0, *(2.0**power for power in range(-6, 7)))
"""Candidates for eta."""


class UserExponential:
    """``p = sum_k w_uk p_k`` with ``w_uk`` proportional to ``exp(-eta L_uk)``.

    L_uk is the summed logloss of model k on the rows of user u: exponentially weighted averaging
    (Vovk, "Aggregating strategies", COLT 1990). With eta = 1 the weights are posterior
    probabilities of the models; eta = 0 gives the mean, and eta to infinity the user's best model.
    Users without rows get equal weights.

    Args:
        eta: the rate; None chooses from :data:`ETAS` by :func:`halves.choose`.

    Attributes:
        eta: the given rate, or the one chosen by the latest :meth:`fit`.
    """

    def __init__(self, eta: float | None = None) -> None:
        self._given = self.eta = eta

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Fix the eta that predicts `after` best when fitted on `before`."""
        self._given = self.eta = choose(ETAS, UserExponential, before, after)
        return self

    def fit(self, fitting: Predictions) -> Self:
        """Compute the weights on all rows, with the given eta or one chosen on these rows."""
        self.eta = given_or_chosen(self._given, ETAS, UserExponential, fitting)
        codes, self._names = user_codes(fitting.users)
        losses = user_losses(fitting.labels(), fitting.base, codes)  # [U, K]
        # The last row, at -1, is for users without rows.
        losses = np.vstack([losses, np.zeros(losses.shape[1])])
        self._weights = softmax(-self.eta * losses, axis=1)
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        weights = self._weights[positions(test.users, self._names)]  # [N, K]
        mixed: Floats = np.clip((weights * test.base).sum(axis=1), 0, 1)
        return mixed

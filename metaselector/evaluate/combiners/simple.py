"""Combiners with nothing to tune: the mean, and each user's best base model."""

from __future__ import annotations

from typing import Self

import numpy as np

from metaselector.data.interactions import Floats
from metaselector.evaluate.combiners.contract import Predictions, labelled, positions
from metaselector.evaluate.losses import take, user_codes, user_losses


class Uniform:
    """The mean of the K base probabilities."""

    def fit(self, fitting: Predictions) -> Self:
        """Learn nothing."""
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        mean: Floats = test.base.mean(axis=1)
        return mean


class UserBest:
    """For each user, the base model with the lowest summed logloss on the user's rows.

    Users without rows get the model with the lowest logloss on all rows. The first among equals is
    chosen.
    """

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Do nothing: there is no setting."""
        return self

    def fit(self, fitting: Predictions) -> Self:
        """Choose the best base model of each user."""
        y = labelled(fitting)
        codes, self._names = user_codes(fitting.users)
        losses = user_losses(y, fitting.base, codes)  # [U, K]
        # The last element, at -1, is for users without rows.
        self._choice = np.append(losses.argmin(axis=1), losses.sum(axis=0).argmin())
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        return take(test.base, self._choice[positions(test.users, self._names)])

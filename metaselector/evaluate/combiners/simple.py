"""Combiners with nothing to tune: the mean, and every user's best base model."""

from __future__ import annotations

from typing import Self

import numpy as np

from metaselector.evaluate.combiners.contract import Predictions, labelled, positions
from metaselector.evaluate.losses import Floats, take, user_codes, user_losses


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
    """Every user's base model with the lowest summed logloss on their rows.

    A user without rows takes the model with the lowest logloss on all rows; the first of equals.
    """

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Nothing: there is no setting."""
        return self

    def fit(self, fitting: Predictions) -> Self:
        """Sum the losses of every user."""
        y = labelled(fitting)
        codes, self._names = user_codes(fitting.users)
        losses = user_losses(y, fitting.base, codes)  # [U, K]
        # Position -1, of a user without rows, is the last.
        self._choice = np.append(losses.argmin(axis=1), losses.sum(axis=0).argmin())
        return self

    def predict(self, test: Predictions) -> Floats:
        """float64 ``[N]``."""
        return take(test.base, self._choice[positions(test.users, self._names)])

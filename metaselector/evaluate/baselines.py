"""Combinations of base models that are not trained."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from metaselector.evaluate.losses import Floats, take, user_codes, user_losses


def uniform(base: ArrayLike) -> Floats:
    """The mean of the K base probabilities ``[N, K]``, as float64 ``[N]``."""
    mean: Floats = np.asarray(base, dtype=np.float64).mean(axis=1)
    return mean


def user_best(
    y_support: ArrayLike,
    base_support: ArrayLike,
    users_support: ArrayLike,
    base_test: ArrayLike,
    users_test: ArrayLike,
) -> Floats:
    """Take for every user the base model with the lowest logloss on their support.

    A user without support rows takes the model with the lowest logloss on all support rows.

    Args:
        y_support: ``[M]``, 0 or 1.
        base_support: ``[M, K]`` probabilities on rows that these base models were *not* trained
            on; the better a model memorises, the better it would look otherwise.
        users_support: ``[M]``.
        base_test: ``[N, K]`` probabilities to choose from.
        users_test: ``[N]``.

    Returns:
        float64 ``[N]``.

    Raises:
        ValueError: there are no support rows at all.
    """
    codes, names = user_codes(users_support)
    if not len(names):
        raise ValueError("user_best needs at least one support row")
    losses = user_losses(y_support, base_support, codes)  # [U, K]
    position = pd.Index(names).get_indexer(np.asarray(users_test))  # -1 without support
    choice = np.where(position >= 0, losses.argmin(axis=1)[position], losses.sum(axis=0).argmin())
    return take(base_test, choice)

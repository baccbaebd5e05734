"""Oracles: selectors that see the labels, as upper bounds on choosing one base model.

They bound *hard* selection by logloss. A convex combination may fit a user better than every base
model, and an adapted model is not one of the base models, so both can legitimately beat the
user-level oracle. Oracles do not strictly bound AUC, because they minimise logloss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.losses import row_logloss, take, user_codes, user_losses


def oracle_sample(y: ArrayLike, base: ArrayLike) -> tuple[Floats, Ints]:
    """Choose for each row the base model with the lowest logloss on it; sees the labels.

    That is the highest of the K probabilities for a positive row and the lowest for a negative one,
    so no convex combination is better.

    Args:
        y: ``[N]``, 0 or 1.
        base: probabilities ``[N, K]``.

    Returns:
        Probabilities float64 ``[N]`` and chosen base models int64 ``[N]``, the first among equals.

    Example:
        >>> p, choice = oracle_sample(y=[1, 0], base=[[0.7, 0.9], [0.2, 0.4]])
        >>> p.tolist(), choice.tolist()
        ([0.9, 0.2], [1, 0])
    """
    choice = row_logloss(np.asarray(y)[:, None], base).argmin(axis=1)
    return take(base, choice), choice


def oracle_user(y: ArrayLike, base: ArrayLike, users: ArrayLike) -> tuple[Floats, Ints]:
    """Choose for each user the base model with the lowest summed logloss on the user's rows.

    Sees the labels: no choice of one base model per user has a lower logloss, but a convex
    combination or an adapted base model may.

    Args:
        y: ``[N]``, 0 or 1.
        base: probabilities ``[N, K]``.
        users: ``[N]``.

    Returns:
        Probabilities float64 ``[N]`` and the chosen base model of each row, int64 ``[N]``, equal
        for all rows of a user; the first among equals.

    Example:
        >>> base = [[0.6, 0.9], [0.5, 0.4], [0.8, 0.3]]
        >>> p, choice = oracle_user([1, 0, 1], base, users=["ann", "ann", "bob"])
        >>> p.tolist(), choice.tolist()
        ([0.9, 0.4, 0.8], [1, 1, 0])
    """
    codes, _ = user_codes(users)
    choice = user_losses(y, base, codes).argmin(axis=1)[codes]
    return take(base, choice), choice

"""Selectors that have read the answers: upper bounds on choosing one base model.

They bound *hard* selection, by logloss. A convex combination can suit a user better than each of
its base models, and an adapted model is none of the base models: both may pass the user-level
oracle honestly. Neither oracle bounds AUC strictly, because the choice minimises logloss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaselector.data.interactions import Ints
from metaselector.evaluate.losses import Floats, row_logloss, take, user_codes, user_losses


def oracle_sample(y: ArrayLike, base: ArrayLike) -> tuple[Floats, Ints]:
    """Take for every row the base model with the lowest logloss on it; reads the answers.

    Since one row's logloss falls as p moves towards y, this is the highest of the K probabilities
    on a positive row and the lowest on a negative one; no convex combination passes it either.

    Args:
        y: ``[N]``, 0 or 1.
        base: probabilities ``[N, K]``.

    Returns:
        Probabilities float64 ``[N]`` and the chosen base model int64 ``[N]``; the first of equals.

    Example:
        >>> p, choice = oracle_sample(y=[1, 0], base=[[0.7, 0.9], [0.2, 0.4]])
        >>> p.tolist(), choice.tolist()
        ([0.9, 0.2], [1, 0])
    """
    choice = row_logloss(np.asarray(y)[:, None], base).argmin(axis=1)
    return take(base, choice), choice


def oracle_user(y: ArrayLike, base: ArrayLike, users: ArrayLike) -> tuple[Floats, Ints]:
    """Take for every user the base model with the lowest summed logloss on their rows.

    Reads the answers: no choice of one base model a user has a lower logloss. A convex combination
    of base models, or base models adapted to the user, may.

    Args:
        y: ``[N]``, 0 or 1.
        base: probabilities ``[N, K]``.
        users: ``[N]``.

    Returns:
        Probabilities float64 ``[N]`` and the chosen base model of every row, int64 ``[N]``, the
        same for all rows of a user; the first of equals.

    Example:
        >>> base = [[0.6, 0.9], [0.5, 0.4], [0.8, 0.3]]
        >>> p, choice = oracle_user([1, 0, 1], base, users=["ann", "ann", "bob"])
        >>> p.tolist(), choice.tolist()
        ([0.9, 0.4, 0.8], [1, 1, 0])
    """
    codes, _ = user_codes(users)
    choice = user_losses(y, base, codes).argmin(axis=1)[codes]
    return take(base, choice), choice

"""Logloss by row and by user, shared by metrics, oracles and combiners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from metaselector.common.errors import UserError
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.checks import checked_labels, checked_probabilities, checked_users

_EPS = np.finfo(np.float64).eps


def row_logloss(y: ArrayLike, p: ArrayLike) -> Floats:
    """``-(y log p + (1 - y) log(1 - p))`` in nats, for shapes that broadcast.

    Probabilities are clipped to ``[eps, 1 - eps]`` of float64, as in scikit-learn, so a confident
    mistake costs 36 nats instead of infinity.

    Raises:
        UserError: a label is not 0 or 1, a prediction is not in [0, 1], or shapes do not broadcast.
    """
    labels, predicted = checked_labels(y), checked_probabilities(p)
    try:
        np.broadcast_shapes(labels.shape, predicted.shape)
    except ValueError as error:
        problem = f"labels {labels.shape} do not match predictions {predicted.shape}"
        raise UserError(problem) from error
    clipped = np.clip(predicted, _EPS, 1 - _EPS)
    loss: Floats = -(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped))
    return loss


def user_codes(users: ArrayLike) -> tuple[Ints, NDArray[Any]]:
    """Number the users in order of first appearance.

    Args:
        users: user of every row, ``[N]``, strings or integers.

    Returns:
        int64 ``[N]`` codes and the distinct users ``[U]``.

    Raises:
        UserError: a user is missing.
    """
    codes, names = pd.factorize(checked_users(users))
    return codes.astype(np.int64), np.asarray(names)


def user_losses(y: ArrayLike, base: ArrayLike, codes: Ints) -> Floats:
    """Logloss of each base model, summed over each user's rows.

    Args:
        y: ``[N]``, 0 or 1.
        base: probabilities ``[N, K]``.
        codes: int64 ``[N]``, from 0 to U - 1 without gaps.

    Returns:
        ``[U, K]``, in nats.
    """
    losses = row_logloss(np.asarray(y)[:, None], base)  # [N, K]
    return np.stack([np.bincount(codes, weights=column) for column in losses.T], axis=1)


def take(base: ArrayLike, choice: Ints) -> Floats:
    """Column ``choice[n]`` of row n of `base` ``[N, K]``, as float64 ``[N]``."""
    probabilities = np.asarray(base, dtype=np.float64)
    taken: Floats = np.take_along_axis(probabilities, choice[:, None], axis=1)[:, 0]
    return taken

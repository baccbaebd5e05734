"""Check labels, predictions and users for all metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from metaselector.common.errors import UserError
from metaselector.data.interactions import Floats


def checked_labels(y: ArrayLike) -> Floats:
    """Labels of any shape as float64; raises :class:`UserError` for a label other than 0 or 1."""
    labels = _numbers(y, "labels")
    return _all_of(labels, (labels == 0) | (labels == 1), "labels", "neither 0 nor 1")


def checked_probabilities(p: ArrayLike) -> Floats:
    """Predictions of any shape as float64; raises :class:`UserError` outside of [0, 1]."""
    predicted = _numbers(p, "predictions")
    right = (predicted >= 0) & (predicted <= 1)  # nan is neither
    return _all_of(predicted, right, "predictions", "not in [0, 1]")


def checked_rows(
    y: ArrayLike, p: ArrayLike, users: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Labels and predictions ``[N]`` as float64.

    Raises:
        UserError: as :func:`checked_labels` and :func:`checked_probabilities`, or lengths differ.
    """
    labels, predicted = checked_labels(y), checked_probabilities(p)
    shapes = {"labels": labels.shape, "predictions": predicted.shape}
    if users is not None:
        shapes["users"] = np.shape(np.asarray(users))
    if len(set(shapes.values())) > 1 or labels.ndim != 1:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UserError(f"shapes must all be [N], one value per row; got {given}")
    return labels, predicted


def checked_users(users: ArrayLike) -> NDArray[Any]:
    """The user of every row; raises :class:`UserError` if one is missing."""
    array = np.asarray(users)
    missing = np.flatnonzero(pd.isna(array))
    if len(missing):
        raise UserError(
            f"users: {len(missing):,} of {array.size:,} are missing, the first in row {missing[0]}"
        )
    return array


def checked_value(name: str, value: Any, what: str) -> float:
    """Check the value that a plug-in's metric returned.

    Args:
        name: name of the metric.
        what: what was scored, for messages.

    Raises:
        UserError: the value is not a single, finite, real number.
    """
    number = isinstance(value, int | float | np.number | np.ndarray) and np.ndim(value) == 0
    if not number or isinstance(value, bool) or np.asarray(value).dtype.kind not in "iuf":
        kind = f"an array of shape {np.shape(value)}" if isinstance(value, np.ndarray) else ""
        problem = f"returns {kind or type(value).__name__} for {what}"
        raise UserError(f"metric '{name}' {problem}; it must return one finite number")
    if not np.isfinite(value):
        raise UserError(f"metric '{name}' is {value} for {what}; it must return one finite number")
    return float(value)


def _numbers(values: ArrayLike, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{name} are not an array of numbers ({reason[:80]})") from error


def _all_of(values: Floats, right: NDArray[np.bool_], name: str, problem: str) -> Floats:
    if right.all():
        return values
    wrong = np.argwhere(~right)
    at, value = wrong[0], values[tuple(wrong[0])]
    row = f"row {at[0]}" if len(at) else "the only value"
    raise UserError(
        f"{name}: {len(wrong):,} of {values.size:,} are {problem}, the first in {row} ({value:g})"
    )

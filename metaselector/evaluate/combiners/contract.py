"""Contract of combiners: what they are fitted on and what they predict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.checks import checked_labels, checked_probabilities, checked_users

_EPS = 1e-6


@dataclass(frozen=True)
class Predictions:
    """Predictions of K base models for M rows.

    Attributes:
        base: probabilities ``[M, K]``, kept as float64.
        users: ``[M]``, strings or integers.
        order: ``[M]``, distinct; sorts the rows of a user by time.
        y: ``[M]``, 0 or 1, kept as float64; None for rows to predict, to hide their labels.
        features: features of the rows, ``[M, G]``, float32 or float64, nan where missing, or None;
            see :func:`metaselector.evaluate.row_features.row_features`.
        categorical: the columns of `features` that hold categories, numbered from 0.

    Raises:
        ValueError: shapes do not match.
        UserError: a prediction is not in [0, 1], or a user is missing.

    Example:
        >>> from metaselector.evaluate.combiners import Uniform
        >>> base = [[0.2, 0.4], [0.6, 0.8]]
        >>> rows = Predictions(base, users=["ann", "bob"], order=[0, 1], y=[0, 1])
        >>> Uniform().fit(rows).predict(rows.unlabelled()).round(2).tolist()
        [0.3, 0.7]
    """

    base: Floats
    users: NDArray[Any]
    order: NDArray[Any]
    y: Floats | None = None
    features: NDArray[np.floating] | None = None
    categorical: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        kept = {"base": checked_probabilities(self.base), "users": checked_users(self.users)}
        kept["order"] = np.asarray(self.order)
        if self.y is not None:
            kept["y"] = np.asarray(self.y, dtype=np.float64)
        if self.features is not None:
            features = np.asarray(self.features)
            small = features.dtype == np.float32  # half the memory
            kept["features"] = features if small else features.astype(np.float64, copy=False)
        for name, value in kept.items():
            if value.ndim != 1 + (name in ("base", "features")) or len(value) != len(kept["base"]):
                raise ValueError(f"{name} {value.shape} does not match base {kept['base'].shape}")
            object.__setattr__(self, name, value)

    def labels(self) -> Floats:
        """``y``; raises :class:`ValueError` without labels, UserError for invalid ones."""
        if self.y is None:
            raise ValueError("these rows have no labels")
        return checked_labels(self.y)

    def unlabelled(self) -> Predictions:
        """The same rows without their labels."""
        return replace(self, y=None)

    def some(self, rows: NDArray[np.bool_], *, labels: bool) -> Predictions:
        """The rows where `rows` ``[M]`` is true, with or without labels."""
        y = self.labels()[rows] if labels else None
        return replace(
            self,
            base=self.base[rows],
            users=self.users[rows],
            order=self.order[rows],
            y=y,
            features=None if self.features is None else self.features[rows],
        )


class Combiner(Protocol):
    """Is fitted once on rows that the base models were not trained on, then predicts others."""

    def fit(self, fitting: Predictions) -> Self:
        """Learn from labelled rows; raises :class:`ValueError` if there are none."""

    def predict(self, test: Predictions) -> Floats:
        """Probabilities float64 ``[N]`` for `test`; does not read ``y``."""


@runtime_checkable
class PerUser(Combiner, Protocol):
    """Learns from each user's own rows; may have a setting to tune."""

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Fix the setting, if any, to the one that predicts `after` best if fitted on `before`.

        Args:
            before, after: earlier and later labelled rows of the same users.
        """


def labelled(fitting: Predictions) -> Floats:
    """Labels of `fitting`; raises :class:`ValueError` if there are no rows."""
    if not len(fitting.users):
        raise ValueError("no rows to fit a combiner on")
    return fitting.labels()


def positions(users: ArrayLike, names: ArrayLike) -> Ints:
    """Index int64 ``[N]`` of each row's user in `names` ``[U]``, or -1 if not among them."""
    index = pd.Index(np.asarray(names)).get_indexer(np.asarray(users))
    return np.asarray(index, dtype=np.int64)


def logits(p: ArrayLike) -> Floats:
    """``log(p / (1 - p))`` of probabilities clipped to [1e-6, 1 - 1e-6], so within ±13.8."""
    return np.asarray(logit(np.clip(np.asarray(p, dtype=np.float64), _EPS, 1 - _EPS)))

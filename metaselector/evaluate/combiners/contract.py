"""What every row of the table that combines base models by a simple rule is given and gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from metaselector.data.interactions import Ints
from metaselector.evaluate.checks import checked_labels, checked_probabilities, checked_users
from metaselector.evaluate.losses import Floats

_EPS = 1e-6


@dataclass(frozen=True)
class Predictions:
    """What K base models predict for M rows.

    Attributes:
        base: probabilities ``[M, K]``, kept as float64.
        users: ``[M]``, strings or integers.
        order: ``[M]``, distinct; puts the rows of a user into their order of time.
        y: ``[M]``, 0 or 1, kept as float64; None on rows to be predicted, so that no combiner can
            see their labels.
        features: what else is known of the rows, ``[M, G]``, kept as float64, nan where missing;
            None where nothing is. :func:`metaselector.evaluate.row_features.row_features` has them.
        categorical: the columns of `features` that hold categories, numbered from 0.

    Raises:
        ValueError: shapes do not agree.
        UserError: a prediction or a user is what metrics refuse.

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
    features: Floats | None = None
    categorical: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        kept = {"base": checked_probabilities(self.base), "users": checked_users(self.users)}
        kept["order"] = np.asarray(self.order)
        if self.y is not None:
            kept["y"] = np.asarray(self.y, dtype=np.float64)
        if self.features is not None:
            kept["features"] = np.asarray(self.features, dtype=np.float64)
        for name, value in kept.items():
            if value.ndim != 1 + (name in ("base", "features")) or len(value) != len(kept["base"]):
                raise ValueError(f"{name} {value.shape} beside base {kept['base'].shape}")
            object.__setattr__(self, name, value)

    def labels(self) -> Floats:
        """``y``; raises :class:`ValueError` on rows without labels, UserError as metrics do."""
        if self.y is None:
            raise ValueError("these rows have no labels")
        return checked_labels(self.y)

    def unlabelled(self) -> Predictions:
        """The same rows without their labels."""
        return replace(self, y=None)

    def some(self, rows: NDArray[np.bool_], *, labels: bool) -> Predictions:
        """The rows where `rows` ``[M]`` is true, with their labels or without."""
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
    """Fitted once on rows that the base models have not been trained on, then predicts others."""

    def fit(self, fitting: Predictions) -> Self:
        """Learn from labelled rows; raises :class:`ValueError` where there are none."""

    def predict(self, test: Predictions) -> Floats:
        """Probabilities float64 ``[N]`` from `test`, whose ``y`` is not read."""


@runtime_checkable
class PerUser(Combiner, Protocol):
    """Learns for each user from their own rows; what it learns may depend on a setting."""

    def tune(self, before: Predictions, after: Predictions) -> Self:
        """Fix the setting, if any, that predicts `after` best once fitted on `before`.

        Args:
            before, after: labelled rows of the same users, the earlier and the later ones.
        """


def labelled(fitting: Predictions) -> Floats:
    """Labels of `fitting`; raises :class:`ValueError` where there is not one row."""
    if not len(fitting.users):
        raise ValueError("there is no row to fit a combiner on")
    return fitting.labels()


def positions(users: ArrayLike, names: ArrayLike) -> Ints:
    """Position int64 ``[N]`` of every row's user in `names` ``[U]``; -1 where not among them."""
    found: Ints = pd.Index(np.asarray(names)).get_indexer(np.asarray(users)).astype(np.int64)
    return found


def logits(p: ArrayLike) -> Floats:
    """``log(p / (1 - p))`` of probabilities clipped to 1e-6 from 0 and 1, so within ±13.8."""
    found: Floats = logit(np.clip(np.asarray(p, dtype=np.float64), _EPS, 1 - _EPS))
    return found

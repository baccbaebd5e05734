"""Classifiers with scikit-learn's methods as base models.

They are fitted on the rows of each window, like other base models. A run keeps the scores that they
give to its rows, and the fitted estimator if :mod:`~metaselector.models.kept_estimators` can. They
never adapt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.common.errors import ConfigError, nearest
from metaselector.config import BaseModelConfig
from metaselector.config.plugins.from_package import is_dotted, load_dotted
from metaselector.config.plugins.kinds import ESTIMATORS
from metaselector.data.interactions import Floats

_ROUNDING = 1e-6
METHODS = ("fit", "predict_proba")
CATEGORIES = "categorical_feature"
"""LightGBM's argument of ``fit`` for the names of the columns that hold categories."""


class Estimator(Protocol):
    """A classifier of two classes.

    Rows come as a table of int64 and float64, nan where a number is missing, with the columns that
    :func:`~metaselector.evaluate.row_features.row_table` describes.
    """

    fit: Callable[..., Any]
    """``fit(X, y)`` with y int64 ``[N]``, 0 or 1. If it takes an argument ``categorical_feature``,
    as LightGBM's does, it gets the names of the columns that hold categories."""

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.floating[Any]]:
        """Probabilities ``[N, 2]`` of 0 and 1."""


def estimator_class(name: str) -> type:
    """The class behind ``package.module.Class``, a plug-in's name, or ``path/to/file.py:Class``.

    Raises:
        ConfigError: the class does not exist, cannot be imported, or lacks ``fit`` or
            ``predict_proba``.
    """
    found = load_dotted(name) if is_dotted(name) else ESTIMATORS.load(name)
    if not inspect.isclass(found):
        raise ConfigError(f"{name}: is not a class; name one that has {' and '.join(METHODS)}")
    missing = [method for method in METHODS if not hasattr(found, method)]
    if missing:
        raise ConfigError(
            f"{name}: is not a classifier: it has no {' and no '.join(missing)}; name a class that "
            "has both"
        )
    return found


def create_estimator(called: str, settings: BaseModelConfig, seed: int) -> Estimator:
    """Build the estimator of the base model `called`, not yet fitted.

    An argument ``random_state`` of its constructor gets `seed`, unless the options set it.

    Raises:
        ConfigError: as :func:`estimator_class`; or the constructor rejects an option.
    """
    name = settings.estimator
    assert name is not None
    try:
        cls = estimator_class(name)
    except ConfigError as error:
        raise ConfigError(f"base_models.{called}.estimator: {error}") from error
    parameters = inspect.signature(cls).parameters
    options = dict(settings.options)
    named = [key for key, parameter in parameters.items() if parameter.kind in _BY_NAME]
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        for option in options:
            if option not in named:
                raise ConfigError(
                    f"base_models.{called}.options.{option}: {name} has no such argument; "
                    + (nearest(option, named) if named else "it has none")
                )
    if "random_state" in named:
        options.setdefault("random_state", seed)
    try:
        made: Estimator = cls(**options)
    except ConfigError as error:
        raise ConfigError(f"base_models.{called}: {error}") from error
    except Exception as error:  # whatever the constructor does
        raise refused(called, name, "refuses its options", error) from error
    for method in METHODS:
        if not callable(getattr(made, method, None)):
            raise ConfigError(
                f"base_models.{called}: {name} has no {method} with these options; change them, or "
                "name another class"
            )
    return made


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def fit(estimator: Estimator, X: pd.DataFrame, y: NDArray[np.int64], categories: list[str]) -> None:
    """Fit `estimator` in place; it may raise anything."""
    known = inspect.signature(estimator.fit).parameters
    estimator.fit(X, y, **({CATEGORIES: categories} if CATEGORIES in known else {}))


def of_positive(p: NDArray[np.floating[Any]], n: int) -> Floats:
    """The column of positives in what ``predict_proba`` returned for `n` rows, float64 ``[n]``.

    Raises:
        ConfigError: it has another shape, or values that are not probabilities.
    """
    found = np.asarray(p, dtype=np.float64)
    if found.shape != (n, 2):
        raise ConfigError(
            f"predict_proba returns shape {list(found.shape)} for {n} rows, expected "
            f"[{n}, 2]: the probabilities of 0 and 1"
        )
    if not (np.abs(found - 0.5) <= 0.5 + _ROUNDING).all():  # false for nan, too
        raise ConfigError(
            f"predict_proba returns values from {found.min():g} to {found.max():g}, which are not "
            "probabilities"
        )
    positive: Floats = found[:, 1]
    return positive


def refused(called: str, name: str, what: str, error: Exception) -> ConfigError:
    """The error to raise if a class that the settings name raises `error`."""
    problem = " ".join(str(error).split())
    return ConfigError(
        f"base_models.{called}: {name} {what} ({type(error).__name__}: {problem}); change "
        f"base_models.{called}.options, or name another class"
    )

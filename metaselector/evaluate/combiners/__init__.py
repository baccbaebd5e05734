"""Combiners: rows of the results table that combine base models by a simple rule."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial

from metaselector.evaluate.combiners.contract import Combiner, PerUser, Predictions
from metaselector.evaluate.combiners.convex import Convex
from metaselector.evaluate.combiners.simple import Uniform, UserBest
from metaselector.evaluate.combiners.stacking import StackingLightGBM, StackingLogistic
from metaselector.evaluate.combiners.user_bias import UserBias
from metaselector.evaluate.combiners.user_exponential import UserExponential

COMBINERS: dict[str, Callable[[], Combiner]] = {
    "uniform": Uniform,
    "convex": Convex,
    "stacking-logistic": StackingLogistic,
    "stacking-lightgbm": StackingLightGBM,
    "stacking-lightgbm-features": partial(StackingLightGBM, features=True),
    "user-best": UserBest,
    "user-exponential": UserExponential,
    "user-bias": UserBias,
}
"""By the row's name."""

OPTIONAL = dict.fromkeys(("stacking-lightgbm", "stacking-lightgbm-features"), "lightgbm")
"""Rows that need an optional library, installed by an extra of the same name."""


def usable_combiners() -> dict[str, Callable[[], Combiner]]:
    """:data:`COMBINERS` whose libraries can be imported.

    Example:
        >>> "uniform" in usable_combiners()
        True
    """
    return {name: make for name, make in COMBINERS.items() if _importable(OPTIONAL.get(name))}


def _importable(library: str | None) -> bool:
    try:
        if library is not None:
            importlib.import_module(library)
    except (ImportError, OSError):  # OSError: a system library is missing, such as OpenMP
        return False
    return True


__all__ = ["COMBINERS", "OPTIONAL", "Combiner", "PerUser", "Predictions", "usable_combiners"]

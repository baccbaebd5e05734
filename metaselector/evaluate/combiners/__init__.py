"""Baselines that combine base models by a simple rule: the rows of the table beside MetaSelector.

Start with :mod:`~metaselector.evaluate.combiners.contract`.
"""

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
"""Rows that need a library which may be missing; an extra of the same name installs it."""


def usable_combiners() -> dict[str, Callable[[], Combiner]]:
    """:data:`COMBINERS` without those whose library cannot be imported.

    Example:
        >>> "uniform" in usable_combiners()
        True
    """
    return {name: make for name, make in COMBINERS.items() if _importable(OPTIONAL.get(name))}


def _importable(library: str | None) -> bool:
    try:
        if library is not None:
            importlib.import_module(library)
    except (ImportError, OSError):  # it may be there and lack a system library, such as OpenMP
        return False
    return True


__all__ = ["COMBINERS", "OPTIONAL", "Combiner", "PerUser", "Predictions", "usable_combiners"]

"""Losses of the fair rival's settings with known minima."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metaselector.meta.finetune_settings import LADDERS, Choice

TARGET = Choice(5, 3.0, 0.01, 0.0, 2.0, 1.0, 2.0, 8.0, 30.0)


def places(choice: Choice) -> np.ndarray:
    """Where the settings are on their ladders."""
    return np.array(
        [ladder.index(value) for ladder, value in zip(LADDERS, choice, strict=True)]  # type: ignore[attr-defined]
    )


def bowl(target: Choice) -> Callable[[Choice], float]:
    """A separable loss with its minimum, 0, at `target`."""
    return lambda choice: float(((places(choice) - places(target)) ** 2).sum())


def valley(choice: Choice) -> float:
    """Two settings depend on each other: every pass moves both by a value."""
    steps, *_, prior_rows = places(choice)
    return float((steps - prior_rows) ** 2 + (prior_rows - 6) ** 2 / 2)

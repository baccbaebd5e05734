"""A metric of somebody else, which may do anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metaselector.common.errors import ConfigError, mishap
from metaselector.evaluate.metrics import Metric


def metric_of_plugin(name: str, function: Any) -> Metric:
    """`function`, whose failures are told as those of ``evaluate.metrics``.

    Args:
        name: of the settings.

    Raises:
        ConfigError: when called: it raises something, or gives anything but a number.
    """

    def metric(y: ArrayLike, p: ArrayLike, users: ArrayLike) -> float:
        try:
            value = function(y, p, users)
        except Exception as error:  # whatever it does
            raise ConfigError(
                f"evaluate.metrics: {name} fails ({mishap(error)}); it is called as metric(y, p, "
                "users) with arrays of one length"
            ) from error
        if np.ndim(value) != 0 or not isinstance(value, int | float | np.number | np.ndarray):
            raise ConfigError(
                f"evaluate.metrics: {name} gives {type(value).__name__}, not a number"
            )
        return float(value)

    return metric

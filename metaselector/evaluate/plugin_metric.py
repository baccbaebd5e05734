"""Wrap a metric from a plug-in so that its failures are user errors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metaselector.common.errors import ConfigError, mishap
from metaselector.evaluate.metrics import Metric


def metric_of_plugin(name: str, function: Any) -> Metric:
    """Wrap `function` so that its failures name the setting ``evaluate.metrics``.

    Args:
        name: name of the metric in the settings.

    Raises:
        ConfigError: when called, if `function` raises an exception or does not return a number.
    """

    def metric(y: ArrayLike, p: ArrayLike, users: ArrayLike) -> float:
        try:
            value = function(y, p, users)
        except Exception as error:  # plug-ins may raise anything
            raise ConfigError(
                f"evaluate.metrics: {name} fails ({mishap(error)}); it is called as metric(y, p, "
                "users) with arrays of one length"
            ) from error
        if np.ndim(value) != 0 or not isinstance(value, int | float | np.number | np.ndarray):
            raise ConfigError(
                f"evaluate.metrics: {name} returns {type(value).__name__}; it must return a number"
            )
        return float(value)

    return metric

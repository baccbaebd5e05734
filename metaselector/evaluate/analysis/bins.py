"""Quantile bins, shared by breakdown and calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaselector.data.interactions import Ints


def quantile_bins(values: ArrayLike, bins: int) -> Ints:
    """Assign each of `values` to a quantile bin, numbered from 0 without gaps.

    Equal values share a bin, so there may be fewer bins than `bins`. A value on an edge belongs to
    the lower bin, as in scikit-learn's ``calibration_curve(strategy="quantile")``.

    Args:
        values: ``[N]``, without nan.
        bins: maximum number of bins, at least 1.

    Returns:
        int64 ``[N]``.
    """
    numbers = np.asarray(values, dtype=np.float64)
    # scikit-learn also uses percentile, which rounds differently from quantile.
    edges = np.percentile(numbers, 100 * np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.searchsorted(edges, numbers), return_inverse=True)[1].astype(np.int64)

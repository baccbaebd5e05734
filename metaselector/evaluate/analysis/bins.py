"""Bins of equal mass."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from metaselector.data.interactions import Ints


def quantile_bins(values: ArrayLike, bins: int) -> Ints:
    """Number the quantile bins that `values` lie in, from 0 upwards without gaps.

    Equal values share a bin, so that there may be fewer bins than asked for, and one alone where
    all values are the same. A value on an edge belongs to the lower bin, as in scikit-learn's
    ``calibration_curve(strategy="quantile")``.

    Args:
        values: ``[N]``, none of them nan.
        bins: most bins, 1 or more.

    Returns:
        int64 ``[N]``.
    """
    numbers = np.asarray(values, dtype=np.float64)
    # percentile and not quantile: scikit-learn rounds that way.
    edges = np.percentile(numbers, 100 * np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.searchsorted(edges, numbers), return_inverse=True)[1].astype(np.int64)

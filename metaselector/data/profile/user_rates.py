"""How far users' shares of positives differ, and how far they change, beyond chance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metaselector.data.interactions import Floats


class Counts(NamedTuple):
    """Observed rows and positives of each user, float64 ``[U]``, before the test rows and in them.

    Attributes:
        before, positives_before: of the user's rows before the first test row.
        test, positives_test: of the test rows.
    """

    before: Floats
    positives_before: Floats
    test: Floats
    positives_test: Floats


def spread(counts: Counts) -> float:
    """Standard deviation of users' shares of positives, beyond what chance gives.

    It is estimated by moments: the variance of the observed shares p over n rows, minus the mean of
    p (1 - p) / (n - 1), which estimates the variance that chance adds. Users with one row are left
    out; nan without two users.

    Example:
        >>> zero = np.zeros(2)
        >>> spread(Counts(zero, zero, np.array([10.0, 10.0]), np.array([10.0, 0.0])))  # all or none
        0.5
    """
    n, positives = counts.before + counts.test, counts.positives_before + counts.positives_test
    many = n >= 2
    if many.sum() < 2:
        return float("nan")
    p = positives[many] / n[many]
    variance = p.var() - (p * (1 - p) / (n[many] - 1)).mean()
    return float(np.sqrt(max(variance, 0.0)))


def drift(counts: Counts) -> float:
    """Standard deviation of the change in users' shares of positives, beyond what chance gives.

    The change is from the rows before the test to the test. It is estimated by moments, as
    :func:`spread` is; users with fewer than two rows on a side are left out. nan without users.

    Example:
        >>> n = np.array([10.0, 10.0])
        >>> drift(Counts(n, np.array([10.0, 0.0]), n, np.array([0.0, 0.0])))  # one of two turns
        0.7071067811865476
    """
    many = (counts.before >= 2) & (counts.test >= 2)
    if not many.any():
        return float("nan")
    before, test = counts.before[many], counts.test[many]
    p, q = counts.positives_before[many] / before, counts.positives_test[many] / test
    chance = p * (1 - p) / (before - 1) + q * (1 - q) / (test - 1)
    return float(np.sqrt(max(((p - q) ** 2 - chance).mean(), 0.0)))

"""Confidence intervals and p-values from resamples of users, corrected for small numbers of users.

With few users, resampled values vary too little (their variance is that of n - 1 users, divided by
n), and the normal quantiles behind a percentile interval are too small. The *expanded* percentile
interval makes up for both: it ends at quantiles further out, by as much as an interval with
Student's t is wider than a normal one. Source: Hesterberg, "What Teachers Should Know About the
Bootstrap", The American Statistician 69, 2015, section 5.2. Users with many rows count for more in
a mean over rows, so n is Kish's effective sample size; this is our deviation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from metaselector.data.interactions import Floats

LEVEL = 95
"""Confidence level in percent."""

SIGNIFICANT = 0.05
"""A corrected p-value below this counts as significant."""
LEAST_RESAMPLES = 2_000
"""Resamples below which no p-value is given: after correction for 20 comparisons, none could be
below 0.02."""

FEW_USERS = 100
"""Users below which the coverage of intervals is stated beside them."""


class Interval(NamedTuple):
    """An interval and a p-value that agree: the interval excludes 0 where p is below 0.05.

    Attributes:
        low, high: ends of the 95 % interval.
        p: two-sided p-value of no difference.
        p_floor: the lowest p-value that so many resamples can give.
    """

    low: float
    high: float
    p: float
    p_floor: float


def effective_users(sizes: Floats) -> float:
    """Kish's effective number of users, ``(sum w)^2 / sum w^2``; 0 for no weight.

    Source: Kish, "Survey Sampling", 1965, section 11.7.

    Args:
        sizes: how much each user counts, ``[U]``.

    Example:
        >>> effective_users(np.array([10.0, 10.0, 10.0, 0.0]))
        3.0
        >>> effective_users(np.array([28.0, 1.0, 1.0]))
        1.1450381679389312
    """
    squares = float((sizes**2).sum())
    return float(sizes.sum()) ** 2 / squares if squares else 0.0


def expanded(tail: float, users: float) -> float:
    """Share of the resamples in a tail of probability `tail`.

    Args:
        tail: probability, at most 0.5.
        users: effective number of users, above 1; infinity for no correction.

    Example:
        >>> [round(expanded(0.025, users), 4) for users in (10, 40, 1000)]
        [0.0086, 0.0203, 0.0248]
    """
    return (
        tail
        if users == math.inf
        else float(norm.cdf(math.sqrt(users / (users - 1)) * t.ppf(tail, users - 1)))
    )


def shrunk(share: float, users: float) -> float:
    """Inverse of :func:`expanded`: the probability of a tail with this share of the resamples."""
    return (
        share
        if users == math.inf
        else float(t.cdf(math.sqrt((users - 1) / users) * norm.ppf(share), users - 1))
    )


def interval(resampled: Floats, users: float) -> Interval:
    """Expanded percentile interval and p-value.

    The p-value is twice the probability of the smaller of the tails below and above 0, where 1 is
    added to the numbers of resamples, so that it is never 0 (Davison and Hinkley, "Bootstrap
    Methods and their Application", 1997, chapter 4).

    Args:
        resampled: differences ``[R]``; nan is left out.
        users: effective number of users.

    Returns:
        nan without resamples, or with a single user; p-values also for fewer than
        :data:`LEAST_RESAMPLES`.

    Example:
        >>> resampled = np.random.default_rng(0).normal(2, 1, size=10_000)
        >>> found = interval(resampled, users=40)
        >>> [round(value, 3) for value in found]
        [-0.054, 4.042, 0.057, 0.001]
    """
    enough = len(resampled) >= LEAST_RESAMPLES
    resampled = resampled[~np.isnan(resampled)]
    n = len(resampled)
    if not n or users <= 1 + 1e-9:
        return Interval(*[math.nan] * 4)
    share = 100 * expanded(0.5 - LEVEL / 200, users)
    low, high = np.percentile(resampled, [share, 100 - share])
    if not enough:
        return Interval(float(low), float(high), math.nan, math.nan)
    beyond = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    p, floor = (
        min(1.0, 2 * shrunk(min(0.5, (1 + number) / (n + 1)), users)) for number in (beyond, 0)
    )
    return Interval(float(low), float(high), p, floor)

"""Intervals of few users: coverage, and p-values that agree with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm, t

from metaselector.evaluate.intervals import (
    LEAST_RESAMPLES,
    effective_users,
    expanded,
    interval,
    shrunk,
)


def test_effective_users() -> None:
    assert effective_users(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_users(np.array([5.0, 0, 0])) == 1
    assert 2 < effective_users(np.array([2.0, 1.0, 1.0])) < 3
    assert effective_users(np.zeros(3)) == 0


@pytest.mark.parametrize("users", [4, 10.5, 40, 1e6, math.inf])
@pytest.mark.parametrize("tail", [0.001, 0.025, 0.3, 0.5])
def test_levels_are_inverse(tail: float, users: float) -> None:
    assert shrunk(expanded(tail, users), users) == pytest.approx(tail)
    assert expanded(tail, users) <= tail + 1e-12


def test_ends_are_those_of_students_t_for_normal_means() -> None:
    """Resampled means of n users have the variance s^2 (n - 1) / n^2."""
    n, s = 12, 3.0
    quantiles = norm.ppf((np.arange(100_000) + 0.5) / 100_000) * s * math.sqrt(n - 1) / n
    found = interval(quantiles, n)
    half = t.ppf(0.975, n - 1) * s / math.sqrt(n)
    assert (found.low, found.high) == pytest.approx((-half, half), rel=1e-3)


def test_many_users_have_the_percentile_interval() -> None:
    resampled = np.random.default_rng(0).normal(1, 1, 5000)
    found = interval(resampled, math.inf)
    assert found[:2] == pytest.approx(np.percentile(resampled, [2.5, 97.5]))
    beyond = (resampled <= 0).sum()
    assert found.p == pytest.approx(2 * (1 + beyond) / 5001)
    assert found.p_floor == pytest.approx(2 / 5001)


@pytest.mark.parametrize("users", [10, 40, 1000])
def test_p_is_5_percent_where_an_end_is_0(users: int) -> None:
    resampled = np.random.default_rng(0).normal(size=20_000)
    for end in interval(resampled, users)[:2]:
        assert interval(resampled - end, users).p == pytest.approx(0.05, abs=1e-3)
        inside, outside = (interval(resampled - end * factor, users).p for factor in (0.98, 1.02))
        assert outside < 0.05 < inside


def test_no_difference_at_all_and_the_clearest() -> None:
    assert interval(np.zeros(LEAST_RESAMPLES), 30)[:3] == (0, 0, 1)
    found = interval(np.ones(LEAST_RESAMPLES), 30)
    assert found.p == found.p_floor > 2 / (LEAST_RESAMPLES + 1)


def test_what_has_no_interval() -> None:
    for resampled, users in (([], 30), ([np.nan] * 3000, 30), ([1.0] * 3000, 1)):
        assert all(map(math.isnan, interval(np.array(resampled), users)))


def test_nan_is_left_out_but_counts_as_a_resample() -> None:
    values = np.arange(LEAST_RESAMPLES, dtype=float)
    values[:5] = np.nan
    found = interval(values, math.inf)
    assert found[:2] == pytest.approx(np.percentile(values[5:], [2.5, 97.5]))
    assert found.p == pytest.approx(2 / (LEAST_RESAMPLES - 4))
    assert math.isnan(interval(values[1:], math.inf).p)


def test_intervals_of_few_users_contain_the_truth_often_enough() -> None:
    """Means of 12 users: 95 % is within two standard errors, and percentiles are not."""
    rng = np.random.default_rng(3)
    hits = np.zeros(2)
    for _ in range(1000):
        values = rng.normal(size=12)
        weights = rng.multinomial(12, np.full(12, 1 / 12), 800)
        resampled = weights @ values / 12
        for i, users in enumerate((12, math.inf)):
            low, high = interval(resampled, users)[:2]
            hits[i] += low <= 0 <= high
    ours, plain = hits / 1000
    assert plain < 0.925 < 0.93 < ours < 0.97

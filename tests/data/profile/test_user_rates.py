"""How far users differ and change, against planted answers."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.data.profile.user_rates import Counts, drift, spread

USERS = 20_000


def drawn(before: np.ndarray, test: np.ndarray, rows: int = 12) -> Counts:
    """Counts of users whose true shares of positives are given."""
    generator = np.random.default_rng(0)
    n = np.full(len(before), float(rows))
    found = (generator.binomial(rows, share).astype(float) for share in (before, test))
    first, second = found
    return Counts(n, first, n, second)


def test_chance_alone_is_no_spread_and_no_drift() -> None:
    even = np.full(USERS, 0.6)
    assert spread(drawn(even, even)) < 0.02
    assert drift(drawn(even, even)) < 0.02


def test_planted_spread_and_drift_are_found() -> None:
    generator = np.random.default_rng(1)
    level = generator.uniform(0.3, 0.7, USERS)  # standard deviation 0.4 / sqrt(12)
    assert spread(drawn(level, level)) == pytest.approx(0.4 / np.sqrt(12), rel=0.05)
    turned = level + generator.choice([-0.2, 0.2], USERS)
    assert drift(drawn(level, turned)) == pytest.approx(0.2, rel=0.05)


def test_too_few_rows_tell_nothing() -> None:
    one = np.ones(3)
    assert np.isnan(drift(Counts(one, one, one, one)))
    assert np.isnan(spread(Counts(0 * one, 0 * one, one, one)))

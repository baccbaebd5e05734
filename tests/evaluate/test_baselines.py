"""Combinations that are not trained."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.evaluate.baselines import uniform, user_best
from metaselector.evaluate.metrics import logloss
from metaselector.evaluate.oracles import oracle_user


def test_uniform_is_the_mean() -> None:
    np.testing.assert_allclose(uniform([[0.2, 0.4], [0.0, 1.0]]), [0.3, 0.5])


def test_uniform_of_float32_is_float64() -> None:
    assert uniform(np.full((2, 3), 0.1, dtype=np.float32)).dtype == np.float64


@pytest.mark.parametrize("seed", range(5))
def test_uniform_is_no_worse_than_the_mean_logloss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, base = rng.integers(2, size=50), rng.random((50, 3))
    assert logloss(y, uniform(base)) <= np.mean([logloss(y, p) for p in base.T])


def test_user_best_by_hand() -> None:
    y_support = [1, 1, 0]
    base_support = [[0.9, 0.2], [0.6, 0.7], [0.2, 0.1]]
    users_support = ["a", "b", "b"]  # a: model 0; b: model 1; all rows: model 0
    base_test = [[0.11, 0.12], [0.21, 0.22], [0.31, 0.32]]
    p = user_best(y_support, base_support, users_support, base_test, ["b", "c", "a"])
    assert p.tolist() == [0.12, 0.21, 0.31]


def test_user_best_on_the_test_rows_is_the_oracle() -> None:
    rng = np.random.default_rng(0)
    y, base, users = rng.integers(2, size=80), rng.random((80, 3)), rng.integers(9, size=80)
    p = user_best(y, base, users, base, users)
    np.testing.assert_array_equal(p, oracle_user(y, base, users)[0])


def test_user_best_needs_support() -> None:
    with pytest.raises(ValueError, match="at least one support row"):
        user_best(np.empty(0), np.empty((0, 2)), np.empty(0, dtype=object), [[0.1, 0.2]], ["a"])

"""What the oracles bound, and what they do not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.evaluate.losses import take
from metaselector.evaluate.metrics import logloss
from metaselector.evaluate.oracles import oracle_sample, oracle_user


def _world(seed: int, n: int, k: int, n_users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.integers(2, size=n).astype(np.float32),
        rng.random((n, k)),
        rng.integers(n_users, size=n),
    )


def test_oracle_sample_by_hand() -> None:
    p, choice = oracle_sample([1, 0, 1], [[0.2, 0.7], [0.4, 0.6], [0.5, 0.5]])
    assert p.tolist() == [0.7, 0.4, 0.5]
    assert choice.tolist() == [1, 0, 0]


def test_oracle_user_by_hand() -> None:
    base = [[0.9, 0.6], [0.4, 0.5], [0.3, 0.2], [0.99, 0.5]]
    p, choice = oracle_user([1, 0, 0, 0], base, ["a", "b", "b", "a"])
    # b: model 0 costs -log(.6)-log(.7) = .868, model 1 -log(.5)-log(.8) = .916
    # a: model 0 costs -log(.9)-log(.01) = 4.71, model 1 -log(.6)-log(.5) = 1.20
    assert choice.tolist() == [1, 0, 0, 1]
    assert p.tolist() == [0.6, 0.4, 0.3, 0.5]


def test_oracle_user_takes_the_first_of_equals() -> None:
    _, choice = oracle_user([1, 0], [[0.5, 0.5], [0.5, 0.5]], [0, 0])
    assert choice.tolist() == [0, 0]


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 4), st.integers(1, 6))
def test_sample_bounds_user_bounds_single(seed: int, n: int, k: int, n_users: int) -> None:
    y, base, users = _world(seed, n, k, n_users)
    sample, user = oracle_sample(y, base)[0], oracle_user(y, base, users)[0]
    assert logloss(y, sample) <= logloss(y, user) + 1e-12
    for model in base.T:
        assert logloss(y, user) <= logloss(y, model) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_no_choice_of_a_model_a_user_beats_the_oracle(seed: int) -> None:
    y, base, users = _world(seed, 30, 3, 4)
    bound = logloss(y, oracle_user(y, base, users)[0])
    losses = [
        logloss(y, take(base, np.array(choice)[users]))
        for choice in itertools.product(range(3), repeat=4)
    ]
    assert min(losses) == pytest.approx(bound, abs=1e-12)


@given(st.integers(0, 10_000))
def test_no_convex_combination_beats_the_oracle_of_rows(seed: int) -> None:
    y, base, _ = _world(seed, 30, 3, 1)
    weights = np.random.default_rng(seed).dirichlet(np.ones(3), size=30)
    mixed = (weights * base).sum(axis=1)
    assert logloss(y, oracle_sample(y, base)[0]) <= logloss(y, mixed) + 1e-12


def test_a_convex_combination_may_pass_the_oracle_of_users() -> None:
    y, base = [1, 0], np.array([[0.9, 0.1], [0.9, 0.1]])
    assert logloss(y, base.mean(axis=1)) < logloss(y, oracle_user(y, base, [0, 0])[0])


@pytest.mark.parametrize("seed", range(3))
def test_row_order_does_not_matter(seed: int) -> None:
    y, base, users = _world(seed, 50, 3, 7)
    order = np.random.default_rng(seed).permutation(50)
    p, choice = oracle_user(y, base, users)
    p_, choice_ = oracle_user(y[order], base[order], users[order])
    np.testing.assert_array_equal(p[order], p_)
    np.testing.assert_array_equal(choice[order], choice_)

"""Metrics under user weights, against copied rows, and against every pair of rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate import weighted
from metaselector.evaluate.bootstrap import scorers
from metaselector.evaluate.weighted import linear_auc, weighted_auc, weighted_mean


def _every_pair(y: Floats, p: Floats, codes: Ints, weights: Floats) -> float:
    """AUC by one comparison for each pair of a positive and a negative row."""
    of_row = weights[codes]
    won = total = 0.0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero(y == 0):
            pair = of_row[i] * of_row[j]
            won += pair * ((p[i] > p[j]) + (p[i] == p[j]) / 2)
            total += pair
    return won / total if total else math.nan


@given(st.integers(0, 10_000))
def test_user_weights_equal_copied_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(5), rng.integers(5, size=30)])
    y, p = rng.integers(2, size=35).astype(np.float64), rng.integers(1, 8, size=35) / 8
    weights = rng.multinomial(5, np.full(5, 0.2), size=3).T  # [U, R]
    found = scorers(y, p[None], codes, 5, ["logloss", "auc"])
    loss, area = (found[m].score(weights.astype(np.float64))[0] for m in ("logloss", "auc"))
    for i, counts in enumerate(weights.T):
        rows = np.repeat(np.arange(35), counts[codes])
        expected = log_loss(y[rows], p[rows], labels=[0, 1])
        assert loss[i] == pytest.approx(expected, abs=1e-12)
        if y[rows].min() == y[rows].max():
            assert math.isnan(area[i])
        else:
            assert area[i] == pytest.approx(roc_auc_score(y[rows], p[rows]), abs=1e-12)


@pytest.mark.parametrize(
    ("depth", "width", "exact"),
    [(16, 128, 2**24), (2, 3, 2**24), (3, 1, 2**24), (16, 128, 2), (2, 2, 300)],
    ids=["one tile", "many tiles", "narrow tiles", "in float64", "some in float64"],
)
@pytest.mark.parametrize("levels", [1, 4, 30, 10**9], ids=lambda n: f"{n} scores")
def test_auc_counts_every_pair(
    levels: int, depth: int, width: int, exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weighted, "_DEPTH", depth)
    monkeypatch.setattr(weighted, "_WIDTH", width)
    monkeypatch.setattr(weighted, "_EXACT", exact)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        n, users = 80, 9
        codes, y = rng.integers(users, size=n), rng.integers(2, size=n).astype(np.float64)
        p = np.stack([rng.integers(levels, size=n) / levels, y / 2, (1 - y) / 2, np.full(n, 0.3)])
        weights = rng.integers(0, 4, size=(users, 5)).astype(np.float64)
        found = weighted_auc(y, p, codes, users)(weights)
        expected = [[_every_pair(y, of, codes, w) for w in weights.T] for of in p]
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_weights_that_float32_cannot_count() -> None:
    y, codes = np.array([0.0, 1.0, 0.0, 1.0]), np.arange(4)
    weights = np.array([[2**24 + 1, 3.0, 2.0, 2**12 + 1]]).T
    p = np.array([[0.1, 0.2, 0.3, 0.4]])
    found = weighted_auc(y, p, codes, 4)(weights)[0, 0]
    assert found == _every_pair(y, p[0], codes, weights[:, 0])


def test_equal_models_have_equal_values_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    for n_models in range(2, 12):
        sums = rng.normal(size=(n_models, 301))
        sums[-1] = sums[0]
        weights = rng.integers(0, 4, size=(301, 17)).astype(np.float64)
        found = weighted_mean(sums, np.ones(301))(weights)
        np.testing.assert_array_equal(found[0], found[-1])
        np.testing.assert_allclose(found, sums @ weights / weights.sum(axis=0), atol=1e-12)


def test_one_class_and_nobody_are_nan() -> None:
    codes, p = np.array([0, 1]), np.array([[0.1, 0.7]])
    auc = weighted_auc(np.array([0.0, 1.0]), p, codes, 2)
    found = auc(np.array([[1.0, 2.0, 0.0, 0.0], [1.0, 0.0, 2.0, 0.0]]))
    np.testing.assert_array_equal(found, [[1, np.nan, np.nan, np.nan]])
    assert np.isnan(weighted_auc(np.ones(2), p, codes, 2)(np.ones((2, 3)))).all()
    assert np.isnan(weighted_mean(np.array([[1.0, 0]]), np.array([1.0, 0]))(np.array([[0.0], [2]])))


def test_the_linear_auc_is_the_tangent_of_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    n, users = 300, 20
    y = (rng.random(n) < 0.4).astype(np.float64)
    p = np.round(rng.random((2, n)), 1)  # with ties
    codes = np.concatenate([np.arange(users), rng.integers(users, size=n - users)])
    exact, linear = weighted_auc(y, p, codes, users), linear_auc(y, p, codes, users)
    ones = np.ones((users, 1))
    np.testing.assert_allclose(linear(ones), exact(ones), rtol=1e-12)
    # The exact one takes whole numbers: weights of 1000 and 1001 are a small step from equal ones.
    for user in (0, 7):
        moved = np.full((users, 1), 10_000.0)
        moved[user] += 1
        slope = (exact(moved) - exact(ones)) * 10_000
        step = ones.copy()
        step[user] += 1
        np.testing.assert_allclose(linear(step) - linear(ones), slope, atol=2e-5)


def test_the_linear_auc_of_resamples_is_close_for_many_users() -> None:
    rng = np.random.default_rng(1)
    n, users = 20_000, 4_000
    codes = np.concatenate([np.arange(users), rng.integers(users, size=n - users)])
    level = rng.normal(size=users)[codes]
    y = (rng.random(n) < 1 / (1 + np.exp(-level))).astype(np.float64)
    p = 1 / (1 + np.exp(-level - rng.normal(size=(2, n))))
    weights = rng.multinomial(users, np.full(users, 1 / users), 200).T.astype(np.float64)
    exact, linear = (auc(y, p, codes, users)(weights) for auc in (weighted_auc, linear_auc))
    assert np.sqrt(((linear - exact) ** 2).mean()) < 0.05 * exact.std(axis=1).min()
    # Differences between models are what is tested.
    gap = [each[0] - each[1] for each in (exact, linear)]
    assert abs(gap[0].std() / gap[1].std() - 1) < 0.02


def test_the_linear_auc_of_one_class_is_nan() -> None:
    found = linear_auc(np.ones(3), np.full((2, 3), 0.5), np.arange(3), 3)(np.ones((3, 4)))
    assert found.shape == (2, 4)
    assert np.isnan(found).all()

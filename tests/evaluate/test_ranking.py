"""Ranking metrics by user: every order of ties, hand-computed cases, and their means."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from metaselector.common.errors import UserError
from metaselector.evaluate.metrics import gauc, mrr, ndcg
from metaselector.evaluate.ranking import METRICS, user_rankings


def _one(y: list[int], p: list[float]) -> tuple[float, float, float]:
    """AUC, NDCG@10 and reciprocal rank of one user."""
    found = user_rankings(y, p, np.zeros(len(y), dtype=np.int64), 1)
    return found.auc[0], found.ndcg_10[0], found.mrr[0]


def _of_order(relevant: list[int]) -> tuple[float, float]:
    """NDCG@10 and reciprocal rank of labels from the first rank to the last."""
    gains = [1 / math.log2(rank + 2) for rank in range(10)]
    best = sum(gains[: sum(relevant)])
    ndcg = sum(gain * label for gain, label in zip(gains, relevant, strict=False)) / best
    return ndcg, 1 / (relevant.index(1) + 1)


def test_by_hand() -> None:
    # Ranks: 1 negative, 2 positive, 3 positive, 4 negative.
    area, gain, reciprocal = _one([1, 0, 0, 1], [0.7, 0.9, 0.1, 0.5])
    assert area == 0.5
    at_2, at_3 = 1 / math.log2(3), 1 / math.log2(4)
    assert gain == pytest.approx((at_2 + at_3) / (1 + at_2), abs=1e-15)
    assert reciprocal == 0.5


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=6))
def test_ties_are_the_mean_over_all_orders(rows: list[tuple[int, int]]) -> None:
    y, scores = [label for label, _ in rows], [level / 4 for _, level in rows]
    if len(set(y)) == 1:
        assert all(map(math.isnan, _one(y, scores)))
        return
    orders = [
        _of_order([y[i] for i in sorted(order, key=lambda i: -scores[i])])  # a stable sort
        for order in permutations(range(len(y)))
    ]
    area, *found = _one(y, scores)
    assert area == pytest.approx(roc_auc_score(y, scores), abs=1e-12)
    assert found == pytest.approx(np.mean(orders, axis=0), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_long_lists_equal_those_of_scikit_learn(seed: int) -> None:
    """Its NDCG averages over ties too, and ranks beyond the tenth do not count."""
    rng = np.random.default_rng(seed)
    y, p = rng.integers(2, size=60), rng.integers(12, size=60) / 12
    expected = ndcg_score(y[None], p[None], k=10, ignore_ties=False)
    assert _one(y.tolist(), p.tolist())[1] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "positive"), [(2, 1), (7, 3), (400, 1), (400, 399), (5000, 60)])
def test_a_constant_score_is_a_random_order(n: int, positive: int) -> None:
    """The first of r positives among n rows has the expected reciprocal rank, summed in full."""
    y = [1] * positive + [0] * (n - positive)
    chance = [
        math.comb(n - j, positive - 1) / math.comb(n, positive) for j in range(1, n - positive + 2)
    ]
    assert sum(chance) == pytest.approx(1)
    area, _, reciprocal = _one(y, [0.5] * n)
    assert area == 0.5
    assert reciprocal == pytest.approx(sum(c / (j + 1) for j, c in enumerate(chance)), abs=1e-12)


@given(st.integers(0, 1000))
def test_users_do_not_affect_each_other(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(6, size=40)
    y, p = rng.integers(2, size=40), rng.integers(5, size=40) / 5
    together = user_rankings(y, p, codes, 7)  # the last user has no row
    for user in range(7):
        mine = codes == user
        alone = _one(y[mine].tolist(), p[mine].tolist()) if mine.any() else [math.nan] * 3
        assert [column[user] for column in together[1:]] == pytest.approx(alone, nan_ok=True)
        assert together.rows[user] == mine.sum()


def test_means_count_users_of_both_classes_once_and_gauc_by_their_rows() -> None:
    y = [1, 0, 1, 0, 0, 1, 1]
    p = [0.9, 0.1, 0.2, 0.6, 0.4, 0.5, 0.3]
    users = ["a", "a", "b", "b", "b", "c", "c"]  # c has one class
    third = 1 / math.log2(4)
    assert gauc(y, p, users) == (pytest.approx(2 / 5), 2)
    assert ndcg(y, p, users) == (pytest.approx((1 + third) / 2), 2)
    assert mrr(y, p, users) == (pytest.approx((1 + 1 / 3) / 2), 2)


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_user_of_both_classes_there_is_none(metric: str) -> None:
    value, users = user_rankings([1, 1, 0], [0.1, 0.2, 0.3], np.array([0, 0, 1]), 2).mean(metric)
    assert math.isnan(value)
    assert users == 0


def test_wrong_values() -> None:
    with pytest.raises(UserError, match="predictions: 1 of 2 are not in"):
        user_rankings([0, 1], [0.5, math.nan], np.array([0, 0]), 1)

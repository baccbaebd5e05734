"""Metrics against hand-computed cases, scikit-learn and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.evaluate.losses import row_logloss, user_codes, user_losses
from metaselector.evaluate.metrics import METRICS, auc, gap_closed, gauc, logloss, rela_impr


def _rows(seed: int, n: int = 300, levels: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities with many ties, and users; some users have a single class."""
    rng = np.random.default_rng(seed)
    users = rng.integers(40, size=n)
    y = (rng.random(n) < np.where(users < 5, 0.0, 0.6)).astype(np.float32)
    return y, rng.integers(1, levels, size=n) / levels, np.array([f"u{user}" for user in users])


def _slow_gauc(y: np.ndarray, p: np.ndarray, users: np.ndarray) -> tuple[float, int]:
    areas, sizes = [], []
    for user in np.unique(users):
        mine = users == user
        if 0 < y[mine].sum() < mine.sum():
            areas.append(roc_auc_score(y[mine], p[mine]))
            sizes.append(mine.sum())
    return float(np.average(areas, weights=sizes)), len(sizes)


def test_auc_counts_ties_half() -> None:
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.9]) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("y", [[], [1, 1], [0.0, 0.0]])
def test_auc_of_a_single_class_is_nan(y: list[float]) -> None:
    assert math.isnan(auc(y, [0.5] * len(y)))


def test_logloss_by_hand() -> None:
    assert logloss([1, 0], [0.5, 0.25]) == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)


def test_logloss_of_a_single_class() -> None:
    assert logloss([1, 1], [0.5, 0.5]) == pytest.approx(math.log(2))


def test_logloss_clips_in_float64() -> None:
    assert logloss([0], np.array([1], dtype=np.float32)) == pytest.approx(-math.log(2.0**-52))


@pytest.mark.parametrize("seed", range(5))
def test_row_logloss_averages_to_the_logloss_of_sklearn(seed: int) -> None:
    y, p, _ = _rows(seed)
    p[:4] = 0, 1, 1e-30, 1 - 1e-16
    assert row_logloss(y, p).mean() == pytest.approx(log_loss(y, p), abs=1e-14)


def test_user_losses_by_hand() -> None:
    codes, names = user_codes(np.array(["b", "a", "b"]))
    losses = user_losses([1, 0, 0], [[0.5, 0.1], [0.2, 0.3], [0.4, 0.9]], codes)
    assert names.tolist() == ["b", "a"]
    expected = [
        [-math.log(0.5) - math.log(0.6), -2 * math.log(0.1)],
        [-math.log(0.8), -math.log(0.7)],
    ]
    np.testing.assert_allclose(losses, expected)


def test_gauc_by_hand() -> None:
    y = [1, 0, 1, 0, 1, 1]
    p = [0.9, 0.1, 0.2, 0.6, 0.4, 0.5]
    users = ["a", "a", "b", "b", "b", "c"]  # c has one class
    assert gauc(y, p, users) == (pytest.approx((2 * 1.0 + 3 * 0.0) / 5), 2)


def test_gauc_without_a_user_of_both_classes_is_nan() -> None:
    value, users = gauc([1, 1, 0], [0.1, 0.2, 0.3], [7, 7, 8])
    assert math.isnan(value)
    assert users == 0


@pytest.mark.parametrize("seed", range(10))
def test_gauc_equals_its_slow_twin(seed: int) -> None:
    rows = _rows(seed)
    value, users = gauc(*rows)
    expected, expected_users = _slow_gauc(*rows)
    assert value == pytest.approx(expected, abs=1e-14)
    assert users == expected_users


def test_gauc_of_one_user_is_auc() -> None:
    y, p, _ = _rows(0)
    assert gauc(y, p, ["a"] * len(y))[0] == pytest.approx(auc(y, p), abs=1e-14)


@pytest.mark.parametrize("name", METRICS)
@given(seed=st.integers(0, 1000))
def test_every_metric_ignores_row_order_and_user_names(name: str, seed: int) -> None:
    metric = METRICS[name]
    y, p, users = _rows(seed, n=60)
    value = metric(y, p, users)
    order = np.random.default_rng(seed).permutation(len(y))
    assert metric(y[order], p[order], users[order]) == pytest.approx(value, abs=1e-12)
    renamed = np.array([user[::-1] + "x" for user in users], dtype=object)
    assert metric(y, p, renamed) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", ["auc", "logloss", "gauc"])
@given(seed=st.integers(0, 1000))
def test_metrics_of_pairs_and_rows_ignore_repetition_and_relabelling(name: str, seed: int) -> None:
    metric = METRICS[name]
    y, p, users = _rows(seed, n=60)
    value = metric(y, p, users)
    twice = (np.tile(column, 2) for column in (y, p, users))
    assert metric(*twice) == pytest.approx(value, abs=1e-12)
    assert metric(1 - y, 1 - p, users) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", ["auc", "gauc", "ndcg_10", "mrr"])
def test_ranking_metrics_ignore_a_monotone_map(name: str) -> None:
    y, p, users = _rows(3)
    assert METRICS[name](y, p**3 / 2, users) == pytest.approx(METRICS[name](y, p, users))


@pytest.mark.parametrize("name", METRICS)
def test_metrics_leave_their_input_alone(name: str) -> None:
    rows = _rows(4)
    for column in rows:
        column.flags.writeable = False
    METRICS[name](*rows)


def test_rela_impr() -> None:
    assert rela_impr(0.8, 0.75) == pytest.approx(20.0)
    assert rela_impr(0.75, 0.75) == 0
    assert math.isnan(rela_impr(0.8, 0.5))


@pytest.mark.parametrize(
    ("value", "expected"), [(0.55, 0.0), (0.53, 1.0), (0.54, 0.5), (0.56, -0.5), (0.52, 1.5)]
)
def test_gap_closed_reads_the_same_for_logloss_and_auc(value: float, expected: float) -> None:
    assert gap_closed(value, best_single=0.55, oracle=0.53) == pytest.approx(expected)
    assert gap_closed(1 - value, best_single=0.45, oracle=0.47) == pytest.approx(expected)


def test_gap_closed_without_a_gap_is_nan() -> None:
    assert math.isnan(gap_closed(0.5, 0.5, 0.5))
    assert math.isnan(gap_closed(0.5, 0.5, math.nan))

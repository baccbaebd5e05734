"""The paired bootstrap over users, against rows that are really copied."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.errors import UserError
from metaselector.evaluate.bootstrap import bootstrap_difference, weighted_auc, weighted_logloss


def _predictions(n: int, n_users: int, gain: float, seed: int = 0) -> pd.DataFrame:
    """`worse` and `same` see the logit through the same noise, `better` through less."""
    rng = np.random.default_rng(seed)
    logit, noise = rng.normal(size=(2, n))
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    users = np.array([f"u{user}" for user in rng.integers(n_users, size=n)])
    seen = {"worse": logit + noise, "same": logit + noise, "better": logit + noise * (1 - gain)}
    frames = [
        pd.DataFrame(
            {
                "seed": 0,
                "model": model,
                "user": users,
                "row": np.arange(n),
                "task": "label",
                "y": y,
                "p": 1 / (1 + np.exp(-value)),
            }
        )
        for model, value in seen.items()
    ]
    return pd.concat(frames, ignore_index=True)


@given(st.integers(0, 10_000))
def test_user_weights_equal_copied_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(5), rng.integers(5, size=30)])
    y, p = rng.integers(2, size=35), rng.integers(1, 8, size=35) / 8
    weights = rng.multinomial(5, np.full(5, 0.2))
    rows = np.repeat(np.arange(35), weights[codes])
    expected = log_loss(y[rows], p[rows], labels=[0, 1])
    weights = weights.astype(np.float64)
    assert weighted_logloss(y, p, codes)(weights) == pytest.approx(expected, abs=1e-12)
    area = weighted_auc(y, p, codes)(weights)
    if y[rows].min() == y[rows].max():
        assert math.isnan(area)
    else:
        assert area == pytest.approx(roc_auc_score(y[rows], p[rows]), abs=1e-12)


@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_interval_equals_its_slow_twin(metric: str) -> None:
    predictions = _predictions(300, 20, gain=0.3)
    result = bootstrap_difference(
        predictions, "better", "worse", metric, 50, np.random.default_rng(5)
    )
    score = {"auc": roc_auc_score, "logloss": log_loss}[metric]
    frames = dict(list(predictions.groupby("model")))
    names = frames["worse"]["user"].unique()
    generator, differences = np.random.default_rng(5), []
    for _ in range(50):
        drawn = [names[i] for i in generator.integers(20, size=20)]
        better, worse = (
            pd.concat([frames[model][frames[model]["user"] == user] for user in drawn])
            for model in ("better", "worse")
        )
        differences.append(score(better["y"], better["p"]) - score(worse["y"], worse["p"]))
    assert (result.low, result.high) == pytest.approx(np.percentile(differences, [2.5, 97.5]))


def test_a_clear_difference_excludes_zero_on_the_right_side() -> None:
    predictions = _predictions(2000, 100, gain=0.8)
    of = {
        metric: bootstrap_difference(
            predictions, "better", "worse", metric, 200, np.random.default_rng(0)
        )
        for metric in ("auc", "logloss")
    }
    assert 0 < of["auc"].low < of["auc"].difference < of["auc"].high
    assert of["logloss"].low < of["logloss"].difference < of["logloss"].high < 0


@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_equal_predictions_differ_by_nothing(metric: str) -> None:
    predictions = _predictions(200, 10, gain=0.5)
    generator = np.random.default_rng(0)
    assert bootstrap_difference(predictions, "same", "worse", metric, 20, generator) == (0, 0, 0)


def test_resamples_of_one_class_are_left_out() -> None:
    # One positive user and one negative: half of the resamples have a single class.
    predictions = pd.DataFrame(
        {
            "seed": 0,
            "model": np.repeat(["a", "b"], 2),
            "user": ["x", "y"] * 2,
            "row": [0, 1] * 2,
            "task": "label",
            "y": [0.0, 1.0] * 2,
            "p": [0.2, 0.8, 0.8, 0.2],
        }
    )
    result = bootstrap_difference(predictions, "a", "b", "auc", 40, np.random.default_rng(0))
    assert result == (1, 1, 1)
    none = bootstrap_difference(predictions, "a", "b", "auc", 0, np.random.default_rng(0))
    assert none.difference == 1
    assert math.isnan(none.low)


def test_names_what_does_not_exist() -> None:
    predictions, generator = _predictions(20, 3, gain=0.5), np.random.default_rng(0)
    with pytest.raises(UserError, match="metric 'aux'; did you mean 'auc'"):
        bootstrap_difference(predictions, "better", "worse", "aux", 5, generator)
    with pytest.raises(UserError, match="model 'bettr'; did you mean 'better'"):
        bootstrap_difference(predictions, "bettr", "worse", "auc", 5, generator)

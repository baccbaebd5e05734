"""The paired bootstrap over users, against scikit-learn and against rows that are really copied."""

from __future__ import annotations

import math
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.common.errors import UserError
from metaselector.common.progress import Silent
from metaselector.evaluate import bootstrap
from metaselector.evaluate.bootstrap import Difference, difference, draws, resample
from metaselector.evaluate.intervals import interval
from metaselector.evaluate.metrics import METRICS

SCORE = {"auc": roc_auc_score, "logloss": log_loss}
RANKINGS = ("gauc", "ndcg_10", "mrr")


def _predictions(n: int, n_users: int, gain: float, seed: int = 0) -> pd.DataFrame:
    """`worse` and `same` see the logit through the same noise, `better` through less.

    Probabilities are rounded, so that there are ties.
    """
    rng = np.random.default_rng(seed)
    logit, noise = rng.normal(size=(2, n))
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    users = np.array([f"u{user}" for user in rng.integers(n_users, size=n)])
    seen = {"worse": logit + noise, "same": logit + noise, "better": logit + noise * (1 - gain)}
    frames = [
        pd.DataFrame(
            {
                "seed": seed,
                "model": model,
                "user": users,
                "row": np.arange(n),
                "task": "label",
                "y": y,
                "p": (1 / (1 + np.exp(-value))).round(2).clip(0.01, 0.99),
            }
        )
        for model, value in seen.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _difference(
    predictions: pd.DataFrame, model: str, baseline: str, metric: str, n_resamples: int
) -> Difference:
    scores = resample(predictions, [metric], n_resamples, np.random.default_rng(5))[metric]
    return difference(scores, dict.fromkeys(predictions["seed"].unique(), (model, baseline)))


@pytest.mark.parametrize("metric", RANKINGS)
@pytest.mark.parametrize("seed", range(3))
def test_rankings_equal_those_of_users_that_are_really_copied(metric: str, seed: int) -> None:
    """All models at once, against one pass over rows for each resample and model."""
    predictions = _predictions(90, 15, gain=0.5, seed=seed)
    found = resample(predictions, RANKINGS, 20, np.random.default_rng(5))[metric]
    generator, names = np.random.default_rng(5), list(dict.fromkeys(predictions["user"]))
    draws = [np.ones(len(names), dtype=np.int64)]
    draws += list(generator.multinomial(len(names), np.full(len(names), 1 / len(names)), 20))
    for model, table in predictions.groupby("model"):
        for i, counts in enumerate(draws):
            copies = [
                table[table["user"] == user].assign(user=f"{user}, copy {copy}")
                for user, count in zip(names, counts, strict=True)
                for copy in range(count)
            ]
            drawn = pd.concat(copies)
            expected = METRICS[metric](drawn["y"], drawn["p"], drawn["user"])
            assert found[seed, str(model)][i] == pytest.approx(expected, abs=1e-12)


def test_more_metrics_leave_the_draws_alone() -> None:
    predictions = _predictions(90, 15, gain=0.5)
    alone, beside = (
        resample(predictions, metrics, 40, np.random.default_rng(5))
        for metrics in (["logloss"], ["gauc", "logloss", "mrr"])
    )
    for key, values in alone["logloss"].values.items():
        np.testing.assert_array_equal(values, beside["logloss"][key])


@pytest.mark.parametrize("together", [1, 7, 1000])
def test_draws_are_the_same_in_blocks_of_any_size(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_TOGETHER", together)
    found = np.concatenate(list(draws(12, 50, np.random.default_rng(1))), axis=1)
    expected = np.random.default_rng(1).multinomial(12, np.full(12, 1 / 12), 50).T
    np.testing.assert_array_equal(found, expected)
    assert not list(draws(12, 0, np.random.default_rng(1)))


def test_many_users_are_drawn_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_MOST_WEIGHTS", 25)
    assert [block.shape for block in draws(12, 5, np.random.default_rng(1))] == [
        (12, 2),
        (12, 2),
        (12, 1),
    ]


def test_rankings_of_users_of_one_class_are_nan() -> None:
    predictions = _predictions(30, 5, gain=0.5).assign(y=1.0)
    assert np.isnan(
        resample(predictions, ["mrr"], 5, np.random.default_rng(0))["mrr"][0, "same"]
    ).all()
    assert all(map(math.isnan, _difference(predictions, "better", "worse", "gauc", 5)))


@pytest.mark.parametrize("metric", ["auc", "logloss"])
def test_difference_over_seeds_equals_its_slow_twin(metric: str) -> None:
    """One draw after the other, and scikit-learn with a weight for every row."""
    seeds = {seed: _predictions(100, 20, gain=0.02, seed=seed) for seed in (3, 1)}
    found = _difference(pd.concat(seeds.values()), "better", "worse", metric, 100)
    generator, differences = np.random.default_rng(5), []
    names = list(dict.fromkeys(pd.concat(seeds.values())["user"]))
    assert len(names) == 20
    for _ in range(100):
        counts = dict(zip(names, generator.multinomial(20, np.full(20, 0.05)), strict=True))
        of_seeds = []
        for table in seeds.values():
            better, worse = (
                SCORE[metric](of.y, of.p, sample_weight=of.user.map(counts))
                for of in (table[table["model"] == model] for model in ("better", "worse"))
            )
            of_seeds.append(better - worse)
        differences.append(np.mean(of_seeds))
    rows = pd.concat(seeds.values()).query("model == 'worse'").groupby("user").size()
    expected = interval(np.array(differences), (rows.sum() ** 2 / (rows**2).sum()).item())
    whole = np.mean(
        [
            SCORE[metric](of["better"].y, of["better"].p)
            - SCORE[metric](of["worse"].y, of["worse"].p)
            for of in (dict(list(table.groupby("model"))) for table in seeds.values())
        ]
    )
    assert found[:3] == pytest.approx((whole, *expected[:2]), abs=1e-12)


def test_seeds_may_be_compared_with_different_models() -> None:
    predictions = pd.concat([_predictions(200, 10, gain=0.5, seed=seed) for seed in (0, 1)])
    scores = resample(predictions, ["logloss"], 30, np.random.default_rng(0))["logloss"]
    found = difference(scores, {0: ("better", "worse"), 1: ("better", "better")})
    alone = difference(scores, {0: ("better", "worse")})
    assert found[:3] == pytest.approx([value / 2 for value in alone[:3]], rel=0.02)


def test_seeds_may_have_different_users() -> None:
    tables = [_predictions(200, 10, gain=0.5, seed=seed) for seed in (0, 1)]
    tables[1]["user"] = "other " + tables[1]["user"]
    scores = resample(pd.concat(tables), ["auc"], 200, np.random.default_rng(0))["auc"]
    # Draws of different users are nearly independent.
    one, two = (scores[seed, "worse"][1:] for seed in (0, 1))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.25
    assert scores[1, "worse"][0] == pytest.approx(
        roc_auc_score(tables[1].y[:200], tables[1].p[:200])
    )


def test_a_clear_difference_excludes_zero_on_the_right_side() -> None:
    predictions = _predictions(2000, 100, gain=0.8)
    of = {m: _difference(predictions, "better", "worse", m, 2000) for m in ("auc", "logloss")}
    assert 0 < of["auc"].low < of["auc"].difference < of["auc"].high
    assert of["logloss"].low < of["logloss"].difference < of["logloss"].high < 0
    for found in of.values():
        assert 2 / 2001 < found.p == found.p_floor < 0.002  # as small as 2000 resamples can show


@pytest.mark.parametrize("metric", ["auc", "logloss", *RANKINGS])
def test_equal_predictions_differ_by_nothing(metric: str) -> None:
    predictions = _predictions(200, 10, gain=0.5)
    assert _difference(predictions, "same", "worse", metric, 2000)[:4] == (0, 0, 0, 1)


def test_few_resamples_have_no_p_value() -> None:
    found = _difference(_predictions(200, 10, gain=0.5), "better", "worse", "logloss", 1999)
    assert found.low < found.high
    assert math.isnan(found.p)
    assert math.isnan(found.p_floor)


def test_p_values_keep_their_level_where_rows_of_a_user_depend_on_each_other() -> None:
    """Models that err by user, none of them better: rows taken one by one would reject far more."""
    rejected = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(40), 10)
        logit = rng.normal(size=400)
        y = rng.random(400) < 1 / (1 + np.exp(-logit))
        columns = {"seed": 0, "user": users, "row": np.arange(400), "task": "label", "y": y * 1.0}
        of_users = [rng.normal(size=40)[users] for _ in range(2)]
        predictions = pd.concat(
            pd.DataFrame({**columns, "model": name, "p": 1 / (1 + np.exp(-logit - error))})
            for name, error in zip("ab", of_users, strict=True)
        )
        rejected += _difference(predictions, "a", "b", "logloss", 2000).p <= 0.05
    assert 1 <= rejected <= 12  # binomial(100, 0.05) is in here 99.6 % of the time


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
    scores = resample(predictions, ["auc"], 40, np.random.default_rng(0))["auc"]
    left = 40 - np.isnan(scores[0, "a"]).sum()
    assert 5 < left < 35
    assert difference(scores, {0: ("a", "b")})[:3] == (1, 1, 1)
    none = _difference(predictions, "a", "b", "auc", 0)
    assert none.difference == 1
    assert math.isnan(none.low)


def test_names_what_does_not_exist() -> None:
    predictions = _predictions(20, 3, gain=0.5)
    with pytest.raises(UserError, match="metric 'aux'; did you mean 'auc'"):
        _difference(predictions, "better", "worse", "aux", 5)
    with pytest.raises(UserError, match="seed 0: no model 'bettr'; did you mean 'better'"):
        _difference(predictions, "bettr", "worse", "auc", 5)


def test_progress_counts_resamples() -> None:
    class Counter(Silent):
        total = done = 0

        @contextmanager
        def task(self, description, total):  # type: ignore[no-untyped-def]
            self.total = total

            def advance() -> None:
                self.done += 1

            yield advance

    counter = Counter()
    predictions = _predictions(50, 5, gain=0.5)
    resample(predictions, ["logloss"], 37, np.random.default_rng(0), counter)
    assert (counter.done, counter.total) == (37, 37)

"""Metrics within lists: against a slow loop, with intervals, and in the results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from metaselector.common.errors import UserError
from metaselector.evaluate.bootstrap import metrics_of, resample
from metaselector.evaluate.comparisons import compare
from metaselector.evaluate.lists import COLUMNS, METRICS, list_rankings
from metaselector.evaluate.ranking import user_rankings
from metaselector.evaluate.results import score


def predictions(n_lists: int = 60, rows: int = 5, users: int = 12) -> pd.DataFrame:
    """Two models over lists with one positive each; ``good`` ranks it higher."""
    generator = np.random.default_rng(0)
    n = n_lists * rows
    y = np.zeros((n_lists, rows))
    y[np.arange(n_lists), generator.integers(rows, size=n_lists)] = 1
    y[0] = 0  # a list of one class
    lists = np.repeat(np.arange(n_lists), rows)
    frame = pd.DataFrame({"user": [f"u{i % users}" for i in lists], "row": np.arange(n)})
    frame = frame.assign(seed=0, task="label", y=y.ravel(), list=lists + 100)
    noise = generator.random(n)
    good, bad = (0.5 * noise + share * frame["y"] for share in (0.4, 0.05))
    both = [frame.assign(model="good", p=good), frame.assign(model="bad", p=bad)]
    return pd.concat(both, ignore_index=True)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 1), st.sampled_from([0.1, 0.5, 0.9])),
        min_size=1,
        max_size=40,
    )
)
def test_equals_a_loop_over_lists(rows: list[tuple[int, int, float]]) -> None:
    lists, y, p = (np.array(column) for column in zip(*rows, strict=True))
    users = lists % 3
    found = list_rankings(y, p, users, 3, lists)
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for one in np.unique(lists):
        mine = lists == one
        if len(set(y[mine].tolist())) == 2:
            ranked = user_rankings(y[mine], p[mine], np.zeros(mine.sum(), dtype=np.int64), 1)
            values["list_auc"].append(float(roc_auc_score(y[mine], p[mine])))
            values["list_ndcg_10"].append(float(ranked.ndcg_10[0]))
            values["list_mrr"].append(float(ranked.mrr[0]))
    assert found.counts.sum() == len(values["list_auc"])
    for metric, each in values.items():
        expected = np.mean(each) if each else np.nan
        assert found.mean(metric) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_results_and_differences() -> None:
    table = predictions()
    results = score(table, dataset="d", protocol="warm", best_single={0: "bad"})
    assert tuple(results.columns[-4:]) == COLUMNS
    assert results["n_lists"].tolist() == [59, 59]
    good, bad = results["list_mrr"]
    assert good > bad
    differences = compare(table, {0: "bad"}, 200).set_index("metric")
    assert set(METRICS) <= set(differences.index)
    line = differences.loc["list_mrr"]
    assert line["difference"] == pytest.approx(good - bad)
    assert line["low"] < line["difference"] < line["high"]


def test_intervals_resample_users_with_all_of_their_lists() -> None:
    table = predictions(users=3)
    scores = resample(table, ["list_auc"], 30, np.random.default_rng(1))["list_auc"]
    drawn = np.random.default_rng(1).multinomial(3, np.full(3, 1 / 3), 16)  # as the bootstrap draws
    good = table[table["model"] == "good"]
    by_list = {
        key: float(roc_auc_score(of["y"], of["p"]))
        for key, of in good.groupby(["user", "list"])
        if of["y"].nunique() == 2
    }
    names = sorted(good["user"].unique())
    for resampled, weights in zip(scores[0, "good"][1:17], drawn, strict=True):
        each = dict(zip(names, weights, strict=True))
        total = sum(each[user] for user, _ in by_list)
        slow = sum(each[user] * value for (user, _), value in by_list.items()) / total
        assert resampled == pytest.approx(slow)


def test_data_without_lists_has_none_of_these_metrics() -> None:
    table = predictions().drop(columns="list")
    assert not set(metrics_of(table)) & set(METRICS)
    results = score(table, dataset="d", protocol="warm", best_single={0: "bad"})
    assert not set(results) & set(COLUMNS)
    with pytest.raises(UserError, match="no bootstrap for metric 'list_auc'"):
        resample(table, ["list_auc"], 5, np.random.default_rng(0))


def test_models_must_agree_on_lists() -> None:
    table = predictions()
    table.loc[table["model"] == "bad", "list"] += 1
    with pytest.raises(UserError, match="model 'bad': row 0 has list 101, but 100 in 'good'"):
        score(table, dataset="d", protocol="warm", best_single={0: "bad"})

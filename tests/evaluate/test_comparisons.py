"""Which rows are compared, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metaselector.evaluate.bootstrap import METRICS
from metaselector.evaluate.comparisons import BEST_SINGLE, COLUMNS, SIMPLIFIED, TARGET, compare
from metaselector.evaluate.results import score

GAIN = {"lr": 0.0, "fm": 0.02, "uniform": 0.05, "metaselector": 0.15, "oracle-user": 1.0}


def _predictions(seeds: tuple[int, ...], n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    logit = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    columns = {"user": [f"u{i % 30}" for i in range(n)], "row": np.arange(n), "task": "label"}
    frames = []
    for seed in seeds:
        for model, gain in GAIN.items():
            p = 1 / (1 + np.exp(-logit - (1 - gain) * rng.normal(size=n)))
            frames.append(pd.DataFrame({"seed": seed, "model": model, **columns, "y": y, "p": p}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return compare(_predictions((0, 1)), {0: "fm", 1: "fm"}, 2000)


def test_every_row_is_compared_with_the_best_single_model_and_the_target_with_every_row(
    table: pd.DataFrame,
) -> None:
    assert tuple(table.columns) == COLUMNS
    keys = ["family", "model", "baseline", "metric"]
    assert table[keys].to_numpy().tolist() == [
        [family, model, baseline, metric]
        for family, model, baseline in (
            (BEST_SINGLE, "lr", "fm"),
            (BEST_SINGLE, "uniform", "fm"),
            (BEST_SINGLE, "metaselector", "fm"),
            (TARGET, "metaselector", "lr"),
            (TARGET, "metaselector", "fm"),
            (TARGET, "metaselector", "uniform"),
        )
        for metric in METRICS
    ]
    assert (table["n_seeds"] == 2).all()


def test_differences_are_those_of_the_results(table: pd.DataFrame) -> None:
    results = score(_predictions((0, 1)), dataset="d", protocol="p", best_single={0: "fm", 1: "fm"})
    means = results.groupby("model")[list(METRICS)].mean()
    for row in table.itertuples():
        expected = means.loc[row.model, row.metric] - means.loc[row.baseline, row.metric]
        assert row.difference == pytest.approx(expected, abs=1e-12)
        assert row.low < row.difference < row.high


def test_the_same_pair_has_one_p_value_but_a_correction_by_family(table: pd.DataFrame) -> None:
    pair = table[(table["model"] == TARGET) & (table["baseline"] == "fm")]
    assert len(pair) == 2 * len(METRICS)
    assert (pair.groupby("metric")["p"].nunique() == 1).all()


def test_p_values_are_corrected_within_family_and_metric(table: pd.DataFrame) -> None:
    """Holm by hand: the i-th smallest of m times m - i, never below the one before, at most 1."""
    for _, family in table.groupby(["family", "metric"]):
        ordered = family.sort_values("p", kind="stable")
        m, before = len(ordered), 0.0
        for i, row in enumerate(ordered.itertuples()):
            before = max(before, min(1.0, (m - i) * row.p))
            assert row.p_holm == pytest.approx(before)
        assert (family["p_holm"] >= family["p"]).all()
    assert (table["p_holm"] > table["p"]).any()


def test_no_corrected_p_value_is_below_its_floor(table: pd.DataFrame) -> None:
    """The floor is that of the lowest p-value of a family, times the number of its rows."""
    assert (table["p_holm"] >= table["p_floor"]).all()
    for _, family in table.groupby(["family", "metric"]):
        assert family["p_floor"].nunique() == 1
        smallest = family["p_floor"].iloc[0] / len(family)
        assert 2 / 2001 < smallest < 0.004  # of 30 users
    assert (table["p_holm"] > table["p_floor"]).any()


def test_a_clear_lead_is_at_the_floor() -> None:
    predictions = _predictions((0,))
    ours = predictions["model"] == "metaselector"
    predictions.loc[ours, "p"] = 0.1 + 0.8 * predictions.loc[ours, "y"]
    found = compare(predictions, {0: "fm"}, 2000)
    clear = found[(found["family"] == "metaselector") & (found["metric"] == "logloss")]
    assert list(clear["p_holm"]) == pytest.approx(list(clear["p_floor"]))


def test_few_resamples_have_intervals_but_no_p_values() -> None:
    found = compare(_predictions((0,)), {0: "fm"}, 1999)
    assert found[["p", "p_holm", "p_floor"]].isna().all(axis=None)
    assert (found["low"] < found["high"]).all()


def test_seeds_may_differ_in_their_best_single_model() -> None:
    predictions = _predictions((0, 1))
    table = compare(predictions, {0: "fm", 1: "lr"}, 20)
    best = table[table["family"] == BEST_SINGLE]
    assert set(best["baseline"]) == {"fm or lr"}
    assert set(best["model"]) == {"lr", "fm", "uniform", "metaselector"}
    loss = score(predictions, dataset="d", protocol="p", best_single={0: "fm", 1: "lr"})
    loss = loss.set_index(["seed", "model"])["logloss"]
    found = best[best["metric"] == "logloss"].set_index("model")["difference"]
    expected = (loss[0, "uniform"] - loss[0, "fm"] + loss[1, "uniform"] - loss[1, "lr"]) / 2
    assert found["uniform"] == pytest.approx(expected, abs=1e-12)
    assert found["lr"] == pytest.approx((loss[0, "lr"] - loss[0, "fm"]) / 2, abs=1e-12)


def test_rows_may_come_in_any_order_and_again(table: pd.DataFrame) -> None:
    predictions = _predictions((0, 1))
    rows = predictions.groupby(["seed", "model"], sort=False, group_keys=False)
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(compare(shuffled, {0: "fm", 1: "fm"}, 2000), table)


def test_without_metaselector_only_the_best_single_model_is_compared_with() -> None:
    predictions = _predictions((0,))
    table = compare(predictions[predictions["model"] != TARGET], {0: "fm"}, 5)
    assert set(table["family"]) == {BEST_SINGLE}


def test_simplified_is_compared_with_rows_that_only_weigh() -> None:
    predictions = _predictions((0,))
    simplified = predictions[predictions["model"] == TARGET].assign(model=SIMPLIFIED)
    table = compare(pd.concat([predictions, simplified], ignore_index=True), {0: "fm"}, 5)
    of_family = table[table["family"] == SIMPLIFIED]
    assert set(of_family["model"]) == {SIMPLIFIED}
    assert set(of_family["baseline"]) == {"uniform"}

"""Improvement over the best single model, by bins of what is known of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import UserError
from metaselector.evaluate.analysis.breakdown import best_on_valid, breakdown, improvements
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.metrics import logloss

USERS, ROWS = 50, 6


def long_table(seed: int = 0, p: dict[str, np.ndarray] | None = None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = USERS * ROWS
    y = rng.integers(2, size=n)
    noise = np.random.default_rng(seed)
    p = p or {model: noise.random(n) for model in ("lr", "fm", "convex", "metaselector")}
    users = [f"u{i // ROWS}" for i in range(n)]
    return pd.concat(
        pd.DataFrame({"seed": seed, "model": m, "user": users, "row": range(n), "y": y, "p": each})
        for m, each in p.items()
    ).assign(task="label")


def facts_of(predictions: pd.DataFrame) -> pd.DataFrame:
    facts = predictions.loc[predictions["model"] == "lr", ["row", "user"]]
    number = facts["user"].str[1:].astype(int)
    return facts.assign(
        history_rows=number,
        rows_per_active_day=3.0,
        drift=np.where(number < 10, np.nan, number % 7),
        item_train_rows=np.arange(len(facts)) % 11,
    )


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_best_on_valid() -> None:
    tables = pd.concat([long_table(3), long_table(1)])
    for seed, best in best_on_valid(tables).items():
        losses = {
            model: logloss(frame["y"], frame["p"])
            for model, frame in tables[tables["seed"] == seed].groupby("model")
        }
        assert losses[best] == min(losses.values())


def test_improvements_are_averaged_over_seeds_with_a_best_model_each() -> None:
    tables = pd.concat([long_table(3), long_table(1)])
    found = improvements(tables, {3: "lr", 1: "fm"}, ["metaselector", "convex", "absent"])
    assert list(found.columns) == ["convex", "metaselector"]  # in the order of the predictions
    loss = tables.assign(loss=row_logloss(tables["y"], tables["p"])).set_index(["seed", "model"])
    expected = sum(
        loss.loc[(seed, best), "loss"].to_numpy() - loss.loc[(seed, "convex"), "loss"].to_numpy()
        for seed, best in ((3, "lr"), (1, "fm"))
    )
    np.testing.assert_allclose(found["convex"], expected / 2)


def test_bins_hold_every_row_once_and_average_to_the_whole() -> None:
    table = long_table()
    improved = improvements(table, {0: "lr"}, ["convex", "metaselector"])
    found = breakdown(improved, facts_of(table), 50, generator())
    for (fact, model), bins in found.groupby(["fact", "model"]):
        if fact == "drift":
            assert bins["rows"].sum() == (USERS - 10) * ROWS  # of the others it is not known
            continue
        assert bins["rows"].sum() == USERS * ROWS
        mean = np.average(bins["improvement"], weights=bins["rows"])
        assert mean == pytest.approx(improved[model].mean())
    by_user = found[found["fact"] == "history_rows"]
    assert by_user["users"].tolist() == [USERS / 5] * 10
    assert by_user[["from", "to"]].drop_duplicates().to_numpy().tolist() == [
        [0, 9], [10, 19], [20, 29], [30, 39], [40, 49],
    ]  # fmt: skip
    constant = found[found["fact"] == "rows_per_active_day"]
    assert constant["bin"].tolist() == [0, 0]


def test_a_planted_improvement_is_found_where_it_is() -> None:
    """Better for users 40 to 49 alone, exactly as good as the baseline for the others."""
    base = np.full(USERS * ROWS, 0.5)
    y = long_table(p={"lr": base})["y"].to_numpy()
    rng = np.random.default_rng(0)
    gain = np.where(np.arange(len(y)) // ROWS >= 40, rng.uniform(0.1, 0.3, len(y)), 0)
    table = long_table(p={"lr": base, "convex": base + np.where(y == 1, gain, -gain)})
    found = breakdown(
        improvements(table, {0: "lr"}, ["convex"]), facts_of(table), 200, generator()
    ).query("fact == 'history_rows'")
    assert found["improvement"].tolist()[:4] == [0] * 4
    assert found[["low", "high"]].to_numpy()[:4].tolist() == [[0, 0]] * 4
    last = found.iloc[-1]
    assert 0.15 < last["low"] < last["improvement"] < last["high"] < 0.5


def test_the_interval_is_that_of_the_bootstrap_over_users() -> None:
    """One bin of all users is what differences.csv has, but for the draws."""
    table = long_table()
    improved = improvements(table, {0: "lr"}, ["convex"])
    found = breakdown(improved, facts_of(table), 4000, generator())
    mine = found[found["fact"] == "rows_per_active_day"].iloc[0]
    scores = resample(table, ["logloss"], 4000, generator())["logloss"]
    other = difference(scores, {0: ("convex", "lr")})
    assert mine["improvement"] == pytest.approx(-other.difference)
    assert (mine["low"], mine["high"]) == pytest.approx((-other.high, -other.low), abs=0.02)
    assert other.high - other.low > 0.2


def test_one_user_has_no_interval() -> None:
    table = long_table().query("user == 'u20'")
    improved = improvements(table, {0: "lr"}, ["convex"])
    found = breakdown(improved, facts_of(table), 10, generator())
    assert found[["low", "high"]].isna().all(axis=None)
    assert found["improvement"].notna().all()


def test_a_fact_without_values_is_left_out() -> None:
    table = long_table()
    improved = improvements(table, {0: "lr"}, ["convex"])
    found = breakdown(improved, facts_of(table).assign(drift=np.nan), 10, generator())
    assert "drift" not in set(found["fact"])


def test_no_model_to_compare() -> None:
    table = long_table()
    improved = improvements(table, {0: "lr"}, [])
    assert breakdown(improved, facts_of(table), 10, generator()).empty


def test_other_rows_than_the_data() -> None:
    table = long_table()
    improved = improvements(table, {0: "lr"}, ["convex"])
    with pytest.raises(UserError, match=r"have 300 rows, and the test window .* has 299"):
        breakdown(improved, facts_of(table).iloc[1:], 10, generator())

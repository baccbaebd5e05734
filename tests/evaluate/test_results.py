"""The results table."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import UserError
from metaselector.evaluate.bounds import BOUNDS
from metaselector.evaluate.metrics import auc, gauc, logloss, mrr, ndcg
from metaselector.evaluate.oracles import oracle_user
from metaselector.evaluate.results import COLUMNS, best_model_counts, score, with_common_rows


def _frame(
    seed: int, model: str, y: Sequence[int], p: Sequence[float], n_users: int = 3
) -> pd.DataFrame:
    n = len(y)
    return pd.DataFrame(
        {
            "seed": seed,
            "model": model,
            "user": [f"u{i % n_users}" for i in range(n)],
            "row": np.arange(n) * 10,
            "task": "label",
            "y": np.asarray(y, dtype=np.float32),
            "p": np.asarray(p, dtype=np.float64),
        }
    )


def _world(seed: int, n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    y, base = rng.integers(2, size=n), rng.random((n, 2))
    users = [i % 12 for i in range(n)]
    models = {"fm": base[:, 0], "lr": base[:, 1], "oracle-user": oracle_user(y, base, users)[0]}
    frames = [_frame(seed, model, y, p, n_users=12) for model, p in models.items()]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def predictions() -> pd.DataFrame:
    return pd.concat([_world(7), _world(2)], ignore_index=True)


def test_rows_and_columns(predictions: pd.DataFrame) -> None:
    table = score(predictions, dataset="tiny", protocol="warm", best_single={7: "lr", 2: "fm"})
    assert tuple(table.columns) == COLUMNS
    assert table[["seed", "model"]].to_numpy().tolist() == [
        [seed, model] for seed in (7, 2) for model in ("fm", "lr", "oracle-user")
    ]
    assert set(table["dataset"]) == {"tiny"}
    assert set(table["protocol"]) == {"warm"}
    assert (table["n_test"] == 60).all()
    assert (table["n_users"] == 12).all()


def test_metrics_of_ones_own_are_columns_at_the_end(predictions: pd.DataFrame) -> None:
    def brier(y: np.ndarray, p: np.ndarray, users: np.ndarray) -> np.floating:
        assert len(users) == len(y)
        return ((y - p) ** 2).mean()

    best = {7: "lr", 2: "fm"}
    table = score(
        predictions, dataset="tiny", protocol="warm", best_single=best, metrics={"brier": brier}
    )
    plain = score(predictions, dataset="tiny", protocol="warm", best_single=best)
    pd.testing.assert_frame_equal(table.drop(columns="brier"), plain)
    one = predictions.query("seed == 2 and model == 'lr'")
    expected = ((one["y"] - one["p"]) ** 2).mean()
    found = table.query("seed == 2 and model == 'lr'")["brier"].item()
    assert found == pytest.approx(expected)


def test_values(predictions: pd.DataFrame) -> None:
    table = score(predictions, dataset="tiny", protocol="warm", best_single={7: "lr", 2: "fm"})
    row = table.set_index(["seed", "model"]).loc[(7, "fm")]
    single, fm, oracle = (
        predictions[(predictions["seed"] == 7) & (predictions["model"] == model)]
        for model in ("lr", "fm", "oracle-user")
    )
    assert row["auc"] == auc(fm["y"], fm["p"])
    assert row["logloss"] == logloss(fm["y"], fm["p"])
    rows = fm["y"], fm["p"], fm["user"]
    assert (row["gauc"], row["gauc_users"]) == gauc(*rows)
    assert (row["ndcg_10"], row["mrr"]) == (ndcg(*rows)[0], mrr(*rows)[0])
    base = auc(single["y"], single["p"])
    assert row["rela_impr"] == pytest.approx(100 * ((row["auc"] - 0.5) / (base - 0.5) - 1))
    best, bound = logloss(single["y"], single["p"]), logloss(oracle["y"], oracle["p"])
    assert row["gap_closed_logloss"] == pytest.approx((best - row["logloss"]) / (best - bound))


def test_best_single_model_and_oracle_are_the_ends_of_the_scale(predictions: pd.DataFrame) -> None:
    table = score(predictions, dataset="tiny", protocol="warm", best_single={7: "lr", 2: "fm"})
    table = table.set_index(["seed", "model"])
    for key in ((7, "lr"), (2, "fm")):
        assert (table.loc[key, ["rela_impr", "gap_closed_auc", "gap_closed_logloss"]] == 0).all()
    oracle = table.xs("oracle-user", level="model")
    assert (oracle[["gap_closed_auc", "gap_closed_logloss"]] == 1).all(axis=None)


def test_bounds_have_a_logloss_and_gaps(predictions: pd.DataFrame) -> None:
    best = {7: "lr", 2: "fm"}
    plain = score(predictions, dataset="tiny", protocol="warm", best_single=best)
    table = score(
        predictions, dataset="tiny", protocol="warm", best_single=best, base_models=["lr", "fm"]
    )
    rows = table["model"].isin(BOUNDS)
    assert table["model"].tolist() == ["fm", "lr", "oracle-user", *BOUNDS] * 2
    gap = "gap_closed_headroom"
    kept = table[~rows].reset_index(drop=True).drop(columns=gap)
    pd.testing.assert_frame_equal(kept, plain.drop(columns=gap))
    assert plain[gap].isna().all()
    metrics = ["auc", "rela_impr", "gauc", "ndcg_10", "mrr", "gap_closed_auc"]
    assert table.loc[rows, metrics].isna().all(axis=None)
    assert table.loc[rows, "logloss"].notna().all()
    assert (table.loc[rows, ["n_users", "n_test"]] == [12, 60]).all(axis=None)
    for seed, of_seed in table.set_index("model").groupby("seed"):
        loss, lowest = of_seed["logloss"], of_seed.loc["headroom", "logloss"]
        single = loss[best[int(seed)]]
        chosen = of_seed.loc["chance", "gap_closed_logloss"]
        assert chosen == pytest.approx((single - loss["chance"]) / (single - loss["oracle-user"]))
        if lowest < single:
            np.testing.assert_allclose(of_seed[gap], (single - loss) / (single - lowest))
            assert of_seed.loc["headroom", gap] == 1
        else:
            assert of_seed[gap].isna().all()


def test_bounds_that_cannot_be_measured_are_left_out() -> None:
    predictions = pd.concat(_frame(0, m, [1, 0, 1], [0.5, 0.6, 0.7]) for m in ("lr", "fm"))
    table = score(
        predictions,
        dataset="d",
        protocol="p",
        best_single={0: "lr"},
        base_models=["lr", "fm"],
    )  # one row per user
    assert table["model"].tolist() == ["lr", "fm"]
    with pytest.raises(UserError, match="no predictions of model 'fmm'; did you mean 'fm'"):
        score(predictions, dataset="", protocol="", best_single={0: "lr"}, base_models=["fmm"])


def test_row_order_does_not_matter(predictions: pd.DataFrame) -> None:
    best = {7: "lr", 2: "fm"}
    expected = score(predictions, dataset="tiny", protocol="warm", best_single=best)
    shuffled = predictions.sample(frac=1, random_state=0)
    table = score(shuffled, dataset="tiny", protocol="warm", best_single=best)
    keys = ["seed", "model"]
    pd.testing.assert_frame_equal(
        table.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
    )


def test_gaps_without_an_oracle_are_nan(predictions: pd.DataFrame) -> None:
    without = predictions[predictions["model"] != "oracle-user"]
    table = score(without, dataset="tiny", protocol="warm", best_single={7: "lr", 2: "fm"})
    assert table[["gap_closed_auc", "gap_closed_logloss"]].isna().all(axis=None)
    assert table["rela_impr"].notna().all()


def test_labels_of_one_class_leave_auc_nan() -> None:
    table = score(
        _frame(0, "lr", [1, 1, 1], [0.5, 0.6, 0.7]),
        dataset="d",
        protocol="p",
        best_single={0: "lr"},
    )
    assert math.isnan(table["auc"].iloc[0])
    assert table["gauc_users"].iloc[0] == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (_frame(0, "fm", [1, 0], [0.5, 0.5]), "'fm': lacks 1 .* 'lr', the first is row 20"),
        (_frame(0, "fm", [1, 0, 0, 1], [0.5] * 4), "'fm': predicts 1 .* 'lr', the first is row 30"),
        (_frame(0, "fm", [1, 1, 0], [0.5] * 3), "'fm': row 10 has label 1.0, but 0.0 in 'lr'"),
        (
            _frame(0, "fm", [1, 0, 0], [0.5] * 3).assign(user="u9"),
            r"'fm': row 0 has user u9, but u0 in 'lr' \(3 such rows\)",
        ),
        (_frame(0, "lr", [1, 0, 0], [0.5] * 3), "'lr': row 0 is predicted more than once"),
        (_frame(0, "fm", [1, 0, 0], [0.5] * 3).assign(task="buy"), "more than one task"),
    ],
)
def test_models_must_predict_the_same(other: pd.DataFrame, message: str) -> None:
    predictions = pd.concat([_frame(0, "lr", [1, 0, 0], [0.2, 0.3, 0.4]), other])
    with pytest.raises(UserError, match=message):
        score(predictions, dataset="d", protocol="p", best_single={0: "lr"})


def test_best_single_must_be_known(predictions: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="seed 2: no best single model is given"):
        score(predictions, dataset="d", protocol="p", best_single={7: "lr"})
    with pytest.raises(UserError, match="no predictions of model 'lrr'; did you mean 'lr'"):
        score(predictions, dataset="d", protocol="p", best_single={7: "lrr", 2: "fm"})


def test_nothing_to_score(predictions: pd.DataFrame) -> None:
    with pytest.raises(UserError, match="empty"):
        score(predictions.iloc[:0], dataset="d", protocol="p", best_single={})


def test_best_model_counts() -> None:
    y = [1, 1, 1, 0, 1, 1]  # rows 0 and 3 are of u0, 1 and 4 of u1, 2 and 5 of u2
    lr, fm = [0.9, 0.3, 0.3, 0.1, 0.9, 0.3], [0.5, 0.6, 0.6, 0.5, 0.6, 0.6]
    frames = [_frame(0, "lr", y, lr), _frame(0, "fm", y, fm), _frame(0, "bad", y, [0.5] * 6)]
    counts = best_model_counts(pd.concat(frames), ["lr", "fm", "bad"])
    assert counts.to_numpy().tolist() == [
        [0, "lr", 1, 1 / 3],
        [0, "fm", 2, 2 / 3],
        [0, "bad", 0, 0],
    ]


def test_best_model_counts_add_up(predictions: pd.DataFrame) -> None:
    counts = best_model_counts(predictions, ["lr", "fm"])
    assert counts.groupby("seed")["users"].sum().tolist() == [12, 12]
    assert counts.groupby("seed")["share"].sum().tolist() == pytest.approx([1, 1])


def test_metrics_of_common_rows(predictions: pd.DataFrame) -> None:
    best = {7: "lr", 2: "fm"}
    results = score(predictions, dataset="tiny", protocol="cold-5", best_single=best)
    chosen = np.arange(20, 60) * 10
    found = with_common_rows(results, predictions, chosen, best)
    pd.testing.assert_frame_equal(found[list(COLUMNS)], results)
    mine = predictions.query("seed == 2 and model == 'lr' and row >= 200")
    line = found.query("seed == 2 and model == 'lr'").iloc[0]
    assert line["common_auc"] == auc(mine["y"], mine["p"])
    assert line["common_logloss"] == logloss(mine["y"], mine["p"])
    assert (line["common_users"], line["common_test"]) == (12, 40)

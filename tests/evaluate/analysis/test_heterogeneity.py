"""Which base model is best for whom, and whether that lasts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from metaselector.common.errors import UserError
from metaselector.evaluate.alignment import align
from metaselector.evaluate.analysis.heterogeneity import FITTED_ON, advantages, heterogeneity
from metaselector.evaluate.losses import row_logloss

MODELS = ["lr", "fm", "deepfm"]


def window(
    seed: int, probabilities: np.ndarray, y: np.ndarray, users: Sequence[str], suffix: str = ""
) -> pd.DataFrame:
    """The long table of K models, ``[N, K]``."""
    return pd.concat(
        pd.DataFrame(
            {"seed": seed, "model": f"{model}{suffix}", "user": users, "row": range(len(y))}
        ).assign(task="label", y=y, p=p)
        for model, p in zip(MODELS, probabilities.T, strict=False)
    )


def best_are(choices: Sequence[int], seed: int = 0, suffix: str = "") -> pd.DataFrame:
    """One positive row a user, for whom the chosen model is the best."""
    p = 0.5 + 0.05 * np.arange(len(MODELS)) + 0.3 * np.eye(len(MODELS))[list(choices)]
    users = [f"u{i}" for i in range(len(choices))]
    return window(seed, p, np.ones(len(choices)), users, suffix)


def test_choices_are_counted() -> None:
    before, after = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 0]
    found = heterogeneity(best_are(before), best_are(after), MODELS)
    counts = found.confusion.pivot_table(index="valid_best", columns="test_best", values="users")
    assert counts.loc[MODELS, MODELS].to_numpy().tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    (stability,) = found.stability.to_dict("records")
    assert stability["users"] == 6
    assert stability["kept"] == pytest.approx(3 / 6)
    assert stability["chance"] == pytest.approx((3 * 3 + 2 * 2 + 1 * 1) / 36)
    assert stability["kappa"] == pytest.approx(cohen_kappa_score(before, after))
    chance = stability["chance"]
    assert stability["kappa"] == pytest.approx((stability["kept"] - chance) / (1 - chance))
    best = found.best.set_index(["window", "model"])["users"]
    assert best["valid"].to_dict() == {"lr": 3, "fm": 2, "deepfm": 1}
    assert best["test"].to_dict() == {"lr": 3, "fm": 2, "deepfm": 1}


def test_what_lasts_and_what_turns_round() -> None:
    choices = [0, 1, 2, 0, 1, 2]
    same = heterogeneity(best_are(choices), best_are(choices), MODELS)
    assert same.stability["kappa"].tolist() == pytest.approx([1])
    assert same.correlation["spearman"].tolist() == pytest.approx([1] * 3)
    turned = heterogeneity(best_are([0, 1] * 3), best_are([1, 0] * 3), MODELS[:2])
    assert turned.stability["kept"].tolist() == [0]
    assert turned.correlation["spearman"].tolist() == pytest.approx([-1] * 2)


def test_independent_windows_are_at_chance() -> None:
    rng = np.random.default_rng(0)
    tables = [best_are(rng.integers(3, size=3000)) for _ in range(2)]
    found = heterogeneity(*tables, MODELS)
    assert found.stability["kept"].iloc[0] == pytest.approx(1 / 3, abs=0.03)
    assert found.stability["kappa"].iloc[0] == pytest.approx(0, abs=0.05)
    assert found.correlation["spearman"].abs().max() < 0.05


def test_correlation_is_of_mean_losses_by_user() -> None:
    """By loops, of users with unequal numbers of rows in another order."""
    rng = np.random.default_rng(1)
    tables, slow = [], []
    for n in (90, 60):
        users = rng.permutation([f"u{i % 12}" for i in range(n)])
        y, p = rng.integers(2, size=n), rng.random((n, 3))
        tables.append(window(0, p, y, users.tolist()))
        losses = row_logloss(y[:, None], p)
        mean = np.array([losses[users == f"u{u}"].mean(axis=0) for u in range(12)])
        slow.append(mean.mean(axis=1, keepdims=True) - mean)
        found = advantages(align(tables[-1]), MODELS)
        np.testing.assert_allclose(found.loc[[f"u{u}" for u in range(12)]], slow[-1], atol=1e-12)
    correlation = heterogeneity(*tables, MODELS).correlation
    expected = [spearmanr(slow[0][:, k], slow[1][:, k]).statistic for k in range(3)]
    assert correlation["spearman"].tolist() == pytest.approx(expected)


def test_models_of_train_are_compared_where_they_are_there() -> None:
    valid, test = best_are([0, 1, 2]), best_are([0, 1, 2])
    both = pd.concat([test, best_are([1, 1, 2], suffix="-train")])
    found = heterogeneity(valid, both, MODELS)
    assert found.stability["fitted_on"].tolist() == list(FITTED_ON)
    assert found.stability["kept"].tolist() == pytest.approx([1, 2 / 3])
    assert set(found.correlation["model"]) == set(MODELS)
    alone = heterogeneity(valid, test, MODELS)
    assert alone.stability["fitted_on"].tolist() == [FITTED_ON[0]]


def test_every_seed_is_compared_with_itself() -> None:
    valid = pd.concat([best_are([0, 1], 5), best_are([2, 2], 3)])
    test = pd.concat([best_are([2, 2], 3), best_are([1, 0], 5)])
    found = heterogeneity(valid, test, MODELS).stability.set_index("seed")
    assert found["kept"].to_dict() == {3: 1, 5: 0}
    assert np.isnan(found.loc[3, "kappa"])  # chance alone keeps everybody


def test_users_without_rows_in_a_window_are_left_out() -> None:
    valid = best_are([0, 1, 2])
    found = heterogeneity(valid[valid["user"] != "u0"], best_are([0, 1, 1]), MODELS)
    assert found.stability[["users", "kept"]].to_numpy().tolist() == [[2, 0.5]]


def test_a_base_model_without_predictions() -> None:
    table = best_are([0, 1])
    with pytest.raises(UserError, match="no predictions of model 'dfm'"):
        heterogeneity(table, table, ["lr", "dfm"])


def test_one_base_model() -> None:
    found = heterogeneity(best_are([0, 0]), best_are([0, 0]), MODELS[:1])
    assert found.confusion["users"].tolist() == [2]
    assert found.stability["kept"].tolist() == [1]
    assert found.stability["kappa"].isna().all()
    assert found.correlation["spearman"].isna().all()

"""Fitted estimators as bytes, and back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from metaselector.common.errors import CheckpointError
from metaselector.models.kept_estimators import FittedEstimator, Kept, estimator_file, keep

LOGISTIC = "sklearn.linear_model.LogisticRegression"


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame({"x": np.linspace(-1, 1, 50), "c": np.arange(50) % 3})


@pytest.fixture
def y(table: pd.DataFrame) -> np.ndarray:
    return ((table["x"] + 0.3 * table["c"]) > 0.2).to_numpy().astype(int)


def test_scikit_learn_by_skops(table: pd.DataFrame, y: np.ndarray) -> None:
    pytest.importorskip("skops")
    fitted = LogisticRegression().fit(table, y)
    kept = keep(fitted, LOGISTIC, table)
    assert kept is not None
    assert kept.form == "skops"
    assert estimator_file("lr", kept.form) == "estimator-lr.skops"
    found = FittedEstimator(kept, LOGISTIC, "lr").probabilities(table)
    np.testing.assert_allclose(found, fitted.predict_proba(table)[:, 1], rtol=0, atol=1e-12)


def test_lightgbm_by_its_text(table: pd.DataFrame, y: np.ndarray) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    fitted = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=1, verbosity=-1, n_jobs=1)
    fitted.fit(table, y, categorical_feature=["c"])
    kept = keep(fitted, "lightgbm.LGBMClassifier", table)
    assert kept is not None
    assert kept.form == "lightgbm"
    assert kept.data.startswith(b"tree\n")
    found = FittedEstimator(kept, "lightgbm.LGBMClassifier", "gbm").probabilities(table)
    np.testing.assert_allclose(found, fitted.predict_proba(table)[:, 1], rtol=0, atol=1e-12)


class Stranger:
    """Not of the module that the settings name."""

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return np.full((len(X), 2), 0.5)


def test_types_of_other_modules_are_not_restored(table: pd.DataFrame, y: np.ndarray) -> None:
    io = pytest.importorskip("skops.io")
    fitted = LogisticRegression().fit(table, y)
    fitted.stranger = Stranger()
    assert keep(fitted, LOGISTIC, table) is None
    kept = Kept("skops", io.dumps(fitted))
    with pytest.raises(CheckpointError, match="Stranger, which is not of sklearn"):
        FittedEstimator(kept, LOGISTIC, "lr").probabilities(table)


def test_what_predicts_otherwise_is_not_kept(table: pd.DataFrame, y: np.ndarray) -> None:
    pytest.importorskip("skops")
    fitted = LogisticRegression().fit(table, y)
    fitted.predict_proba = lambda X: np.full((len(X), 2), 0.5)  # not among what skops stores
    assert keep(fitted, LOGISTIC, table) is None


@pytest.mark.parametrize("form", ["lightgbm", "skops"])
def test_damaged_bytes(form: str, table: pd.DataFrame) -> None:
    pytest.importorskip(form)
    kept = Kept(form, b"tree\nnonsense")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="train it again"):
        FittedEstimator(kept, LOGISTIC, "x").probabilities(table)

"""Models of DeepCTR-Torch as classifiers."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import ConfigError
from metaselector.config import BaseModelConfig
from metaselector.data.planted import planted_world
from metaselector.evaluate.metrics import auc
from metaselector.evaluate.row_features import row_table
from metaselector.models.estimators import create_estimator, fit
from metaselector.models.external.columns import Columns
from metaselector.models.external.deepctr_torch import DeepCTRModel, deepctr_torch_models


def test_numbers_are_standardised_and_new_categories_unseen() -> None:
    table = pd.DataFrame({"user": [2, 0, 1], "age": [1.0, np.nan, 3.0], "same": [5.0] * 3})
    columns = Columns(table, ["user"])
    assert columns.sizes == {"user": 3}
    assert columns.numbers == ["age", "same"]
    later = pd.DataFrame({"user": [2, 3], "age": [4.0, np.nan], "same": [5.0, 6.0]})
    found = {name: column.tolist() for name, column in columns.inputs(later).items()}
    assert found == {"user": [2, 0], "age": [2, 0], "same": [0, 1]}
    with pytest.raises(ValueError, match="column user has 16,777,217 ids"):
        Columns(table.assign(user=2**24), ["user"])


def test_without_the_library_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepctr_torch", None)
    with pytest.raises(ConfigError, match=r"base_models\.a: DeepCTR-Torch is not installed; `pip"):
        create_estimator("a", BaseModelConfig(estimator="deepctr-torch"), 0)


@pytest.mark.usefixtures("global_state")
@pytest.mark.parametrize("model", ["DCN", "DeepFM"])
def test_it_learns_a_planted_world(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No feature tells the two types of users apart, so that 0.6 AUC is near what there is."""
    pytest.importorskip("deepctr_torch")
    world = planted_world(40, 60, 8, np.random.default_rng(0))
    table, categories = row_table(world.dataset, np.arange(len(world.dataset)))
    number = np.random.default_rng(1).normal(size=len(table))
    number[::7] = np.nan
    table = table.assign(noise=number)
    y = world.dataset.labels.astype(np.int64)
    known = np.arange(len(y)) % 60 < 48
    options = {"model": model, "learning_rate": 0.01, "options": {"dnn_hidden_units": [16]}}
    found = []
    for seed in (0, 0, 1):
        made = create_estimator(
            "a", BaseModelConfig(estimator="deepctr-torch", options=options), seed
        )
        fit(made, table[known], y[known], categories)
        found.append(made.predict_proba(table[~known]))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    p = found[0]
    assert p.shape == (np.count_nonzero(~known), 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert ((p > 0) & (p < 1)).all()
    assert auc(y[~known], p[:, 1]) > 0.57  # four standard errors above chance
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"model": "DeepFMM"}, "model: DeepCTR-Torch has no 'DeepFMM'; did you mean 'DeepFM'"),
        ({"model": "DIN"}, "DeepCTR-Torch has no 'DIN'"),  # it needs a history
        ({"model": "DCN", "options": {"cros_num": 1}}, r"cros_num: DCN .*did you mean 'cross_num'"),
    ],
)
def test_what_there_is_not(settings: dict[str, Any], problem: str) -> None:
    pytest.importorskip("deepctr_torch")
    with pytest.raises(ConfigError, match=problem):
        DeepCTRModel(**settings)


def test_models_of_one_task_are_offered() -> None:
    pytest.importorskip("deepctr_torch")
    names = deepctr_torch_models().keys()
    assert {"DCN", "xDeepFM", "AutoInt", "PNN"} <= names
    assert not {"ESMM", "MMOE", "DIEN"} & names

"""Models of FuxiCTR as classifiers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.config import BaseModelConfig
from metaselector.data.planted import planted_world
from metaselector.evaluate.metrics import auc
from metaselector.evaluate.row_features import row_table
from metaselector.models.estimators import create_estimator, fit

SOURCE = '''
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel


class Deep(BaseModel):
    """DeepFM, as those of FuxiCTR's model_zoo are written."""

    def __init__(self, feature_map, model_id="Deep", gpu=-1, learning_rate=1e-3,
                 embedding_dim=10, hidden_units=(16,), **kwargs):
        super().__init__(feature_map, model_id=model_id, gpu=gpu, **kwargs)
        self.embedding_layer = FeatureEmbedding(feature_map, embedding_dim)
        self.fm = FactorizationMachine(feature_map)
        self.mlp = MLP_Block(
            input_dim=feature_map.sum_emb_out_dim(), output_dim=1, hidden_units=list(hidden_units)
        )
        self.compile(kwargs["optimizer"], kwargs["loss"], learning_rate)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs):
        X = self.get_inputs(inputs)
        embedded = self.embedding_layer(X)
        y = self.fm(X, embedded) + self.mlp(embedded.flatten(start_dim=1))
        return {"y_pred": self.output_activation(y)}


class Other:
    pass
'''


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "deep.py").write_text(SOURCE)
    return str(tmp_path / "deep.py")


def settings(**options: Any) -> BaseModelConfig:
    return BaseModelConfig(estimator="fuxictr", options=options)


def test_without_the_library_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fuxictr", None)
    with pytest.raises(ConfigError, match=r"base_models\.a: FuxiCTR cannot be imported .*pip inst"):
        create_estimator("a", settings(model="x.py:X"), 0)


@pytest.mark.usefixtures("global_state")
def test_it_learns_a_planted_world(
    path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And nothing is unpickled, written or printed."""
    pytest.importorskip("fuxictr")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("reads or writes a pickle")

    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.chdir(tmp_path)
    before = {*tmp_path.iterdir()}
    world = planted_world(40, 60, 8, np.random.default_rng(0))
    table, categories = row_table(world.dataset, np.arange(len(world.dataset)))
    number = np.random.default_rng(1).normal(size=len(table))
    number[::7] = np.nan
    table = table.assign(noise=number)
    y = world.dataset.labels.astype(np.int64)
    known = np.arange(len(y)) % 60 < 48
    found = []
    for seed in (0, 0, 1):
        made = create_estimator("a", settings(model=f"{path}:Deep", learning_rate=0.01), seed)
        fit(made, table[known], y[known], categories)
        found.append(made.predict_proba(table[~known]))
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    p = found[0]
    assert p.shape == (np.count_nonzero(~known), 2)
    assert ((p > 0) & (p < 1)).all()
    assert auc(y[~known], p[:, 1]) > 0.57  # four standard errors above chance
    assert {*tmp_path.iterdir()} == before
    assert capsys.readouterr() == ("", "")


def test_what_is_no_model_of_it(path: str) -> None:
    pytest.importorskip("fuxictr")
    for model, problem in (
        (f"{path}:Other", "'Other' is no fuxictr BaseModel"),
        ("collections.OrderedDict", "is not a subclass of FuxiCTR's BaseModel"),
    ):
        with pytest.raises(ConfigError, match=problem):
            create_estimator("a", settings(model=model), 0)

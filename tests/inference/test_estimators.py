"""A model with estimators among its base models predicts new rows, and is saved and loaded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.common.errors import CheckpointError, ConfigError, UserError
from metaselector.data.encoded.digests import add_digests
from metaselector.data.public.atomic import read_atomic
from metaselector.data.splitting.episodes import window_episodes

pytest.importorskip("skops")
WriteWorld = Callable[..., Path]
ONE_HOT = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder


class OneHot(Pipeline):
    def __init__(self, C=0.1):
        self.C = C
        encoder = OneHotEncoder(handle_unknown="ignore")
        columns = make_column_transformer((encoder, ["user", "item"]))
        super().__init__([("columns", columns), ("model", LogisticRegression(C=C))])
"""


@pytest.fixture(scope="module")
def world(write_world: WriteWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("code") / "onehot.py"
    path.write_text(ONE_HOT)
    return path


@pytest.fixture(scope="module")
def fitted(world: Path, code: Path, tmp_path_factory: pytest.TempPathFactory) -> MetaSelector:
    models: dict[str, Any] = {
        "lr": {"pretrain": {"epochs": 1}},
        "trees": {
            "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
            "options": {"max_iter": 5},
        },
        "onehot": {"estimator": f"{code}:OneHot"},
    }
    try:
        import lightgbm  # noqa: F401

        options = {"n_estimators": 5, "verbosity": -1, "n_jobs": 1}
        models["gbm"] = {"estimator": "lightgbm.LGBMClassifier", "options": options}
    except ImportError:
        pass
    model = MetaSelector(
        models,
        directory=tmp_path_factory.mktemp("fitted") / "run",
        adapt={"support_size": 8},
        selector={"epochs": 1, "hidden_size": 4},
        meta_train={"epochs": 1},
        threads=1,
    )
    return model.fit("movielens-100k", data=world)


def rows_of(model: MetaSelector, world: Path, user: str) -> tuple[pd.DataFrame, ...]:
    raw = read_atomic(world, "ml-100k").interactions.drop(columns="line")
    dataset = model._fitted_run().dataset
    place = dataset.user_names.index(user)
    first, stop = dataset.user_offsets[place : place + 2]
    cut = first + (stop - first) * 90 // 100
    rows = dataset.source_rows
    return raw.iloc[rows[first:cut]], raw.iloc[rows[cut:stop]], np.arange(cut, stop)


def test_new_rows_are_predicted_as_in_the_table(fitted: MetaSelector, world: Path) -> None:
    run = fitted._fitted_run()
    adapted = run.checkpoints.load_adapted("metaselector", 0)
    episodes = window_episodes(run.dataset, (90, 100), run.config.adapt.support_size)
    table = adapted.predict(run.dataset, episodes)
    for user in ("u0", "u7"):
        history, candidates, rows = rows_of(fitted, world, user)
        user_ = fitted.adapt(history)
        there = np.isin(table.rows, rows)
        np.testing.assert_allclose(
            user_.predict(candidates), table.probabilities[there], rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(user_.weights, table.weights[there], rtol=0, atol=1e-6)
    assert np.ptp(table.probabilities) > 0.01
    assert list(user_.weights)[:3] == ["lr", "trees", "onehot"]


def test_a_saved_model_predicts_the_same(
    fitted: MetaSelector, world: Path, code: Path, tmp_path: Path
) -> None:
    history, candidates, _ = rows_of(fitted, world, "u4")
    expected = fitted.adapt(history).predict(candidates)
    folder = tmp_path / "model"
    fitted.save(folder)
    assert {"estimator-trees.skops", "estimator-onehot.skops"} <= {p.name for p in folder.iterdir()}
    assert not any(b"pickle" in path.read_bytes() for path in folder.glob("estimator-*"))
    with pytest.raises(ConfigError, match="allow"):
        MetaSelector.load(folder)
    for module in [name for name in sys.modules if name.startswith("metaselector_file_")]:
        del sys.modules[module]  # as in another process
    loaded = MetaSelector.load(folder, allow_code=True)
    assert np.array_equal(loaded.adapt(history).predict(candidates), expected)


def test_code_may_move_but_not_change(
    fitted: MetaSelector, world: Path, code: Path, tmp_path: Path
) -> None:
    history, candidates, _ = rows_of(fitted, world, "u4")
    fitted.save(tmp_path / "model")
    config = tmp_path / "model" / "config.yaml"
    moved = tmp_path / "elsewhere.py"
    moved.write_text(ONE_HOT)
    config.write_text(config.read_text().replace(str(code), str(moved)))
    add_digests(tmp_path / "model", ["config.yaml"])
    loaded = MetaSelector.load(tmp_path / "model", allow_code=True)
    expected = fitted.adapt(history).predict(candidates)
    assert np.array_equal(loaded.adapt(history).predict(candidates), expected)
    moved.write_text(ONE_HOT + "# changed\n")
    with pytest.raises(
        CheckpointError, match=r"base_models.onehot.estimator: the file has changed"
    ):
        MetaSelector.load(tmp_path / "model", allow_code=True)


def test_damage_is_found(fitted: MetaSelector, world: Path, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    file = tmp_path / "model" / "estimator-trees.skops"
    data = file.read_bytes()
    file.write_bytes(data[:-50])
    with pytest.raises(CheckpointError, match="save the model again"):
        MetaSelector.load(tmp_path / "model", allow_code=True)
    add_digests(tmp_path / "model", [file.name])  # as of somebody who made the file
    history, candidates, _ = rows_of(fitted, world, "u4")
    loaded = MetaSelector.load(tmp_path / "model", allow_code=True)
    with pytest.raises(CheckpointError, match=r"base_models.trees: cannot be read by skops"):
        loaded.adapt(history).predict(candidates)
    file.unlink()
    state = tmp_path / "model" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"estimators": {"../x": "skops"}}))
    add_digests(tmp_path / "model", [state.name])
    with pytest.raises(CheckpointError, match="estimators"):
        MetaSelector.load(tmp_path / "model", allow_code=True)


def test_an_estimator_that_cannot_be_kept(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import metaselector.models.kept_estimators as module

    find = module.importlib.util.find_spec
    monkeypatch.setattr(
        module.importlib.util, "find_spec", lambda name: None if name == "skops" else find(name)
    )
    models = {
        "lr": {"pretrain": {"epochs": 1}},
        "mean": {"estimator": "sklearn.dummy.DummyClassifier"},
    }
    model = MetaSelector(
        models, directory=tmp_path, meta_train={"epochs": 1}, selector={"epochs": 1}, threads=1
    ).fit("movielens-100k", data=world)
    with pytest.raises(UserError, match=r"install skops \(pip install .*skops"):
        _ = model.trained

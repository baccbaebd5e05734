"""Fit, evaluate, save and load: the Python API does what the command line does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from metaselector import MetaSelector
from metaselector.common.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    UserError,
)
from metaselector.common.progress import Silent
from metaselector.evaluate.combiners import usable_combiners
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

from .conftest import SETTINGS, windows


def test_results_are_those_of_the_commands(
    fitted: MetaSelector, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {name: make for name, make in usable_combiners().items() if "lightgbm" not in name}
    monkeypatch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: quick)
    run = Run(tmp_path, fitted.config)
    prepare_run(run, world, tmp_path)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    evaluate(run, Silent())
    found = fitted.evaluate()
    assert "metaselector-simplified" in set(found["model"])
    pd.testing.assert_frame_equal(found, pd.read_csv(tmp_path / "results.csv"), check_exact=True)


def test_a_saved_model_predicts_the_same_without_its_data(
    fitted: MetaSelector, raw: pd.DataFrame, tmp_path: Path
) -> None:
    history, candidates, _ = windows(fitted, raw, "u4")
    fitted.save(tmp_path / "model")
    files = {path.name for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "state.json", "model.safetensors",
        "schema.json", "rows.json", "known_users.parquet", "known_items.parquet", "sha256.json",
        "MODEL_CARD.md", "model_card.json",
    }  # fmt: skip
    loaded = MetaSelector.load(tmp_path / "model")
    expected = fitted.adapt(history).predict(candidates)
    assert np.array_equal(loaded.adapt(history).predict(candidates), expected)
    of_run = MetaSelector.load(fitted._fitted_run().directory)
    assert np.array_equal(of_run.adapt(history).predict(candidates), expected)
    with pytest.raises(UserError, match="without the data"):
        loaded.evaluate()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="save the model again"):
        MetaSelector.load(tmp_path / "model")


def test_mistakes_are_named(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history = raw[raw["user"] == "u1"]
    with pytest.raises(DataError, match=r"history \(column user\): has rows of 40 users"):
        fitted.adapt(raw)
    with pytest.raises(
        DataError, match=r"candidates.*belongs to user 'u2', but the history to 'u1'"
    ):
        fitted.adapt(history).predict(raw[raw["user"] == "u2"])
    with pytest.raises(DataError, match=r"history \(column rating\): there is no such column"):
        fitted.adapt(history.drop(columns="rating"))
    with pytest.raises(UserError, match="call predict first"):
        _ = fitted.adapt(history).weights
    with pytest.raises(UserError, match="call fit first"):
        MetaSelector().adapt(history)
    with pytest.raises(UserError, match="0 rows or more, not -1"):
        fitted.adapt(history, support_size=-1)
    with pytest.raises(ConfigError, match="did you mean 'steps'"):
        MetaSelector(adapt={"step": 3})
    with pytest.raises(ConfigError, match="needs columns="):
        MetaSelector().fit(raw)


def test_a_list_chooses_base_models() -> None:
    model = MetaSelector(["fm", "lr"], seed=3)
    assert list(model.config.base_models) == ["fm", "lr"]
    assert model.config.seeds == (3,)
    again = MetaSelector(config=model.config, adapt={"steps": 4}, seed=3).config
    assert (again.adapt.steps, list(again.base_models)) == (4, ["fm", "lr"])
    assert again.base_models == model.config.base_models


def test_settings_may_be_of_numpy() -> None:
    options = {"embedding_size": np.int64(4), "rates": np.array([0.5]), "bias": np.bool_(True)}
    model = MetaSelector({"fm": {"options": options}, "lr": None}, seed=np.int64(2),
                         adapt={"inner_lr_theta": np.float64(0.5)})  # fmt: skip
    settings = model.config.model_dump(mode="json")
    plain = {"embedding_size": 4, "rates": [0.5], "bias": True}
    assert settings["base_models"]["fm"]["options"] == plain
    assert yaml.safe_load(yaml.safe_dump(settings)) == settings
    with pytest.raises(ConfigError, match="use numbers, text, lists and mappings"):
        MetaSelector({"fm": {"options": {"embedding_size": object()}}})
    with pytest.raises(ConfigError, match=r"base_models\.fm: pass a mapping"):
        MetaSelector({"fm": 3})
    with pytest.raises(ConfigError, match="base_models: pass a list of names"):
        MetaSelector(3)


def test_a_data_frame_is_data_too(raw: pd.DataFrame, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    frame = raw.assign(
        at=pd.to_datetime(raw["timestamp"], unit="s"), price=generator.normal(size=len(raw))
    ).drop(columns="timestamp")
    items = pd.DataFrame(
        {"item": [f"i{i}" for i in range(25)], "kind": ["a", "b", "c", "d", "e"] * 5}
    )
    columns = {
        "user": "user", "item": "item", "time": "at", "label": "rating", "threshold": 4,
        "features": ["price"], "items": {"key": "item", "features": ["kind"]},
    }  # fmt: skip
    model = MetaSelector(**SETTINGS).fit(frame, columns, items=items)
    mine = frame[frame["user"] == "u2"].sort_values("at")
    user = model.adapt(mine.iloc[:20])
    expected = user.predict(mine.iloc[20:])
    model.save(tmp_path / "model")
    found = MetaSelector.load(tmp_path / "model").adapt(mine.iloc[:20]).predict(mine.iloc[20:])
    assert np.array_equal(found, expected)
    with pytest.raises(DataError, match=r"candidates \(column price\): there is no such column"):
        user.predict(mine.iloc[20:].drop(columns="price"))


def test_importing_the_package_does_not_wait_for_torch() -> None:
    program = "import sys, metaselector; assert 'MetaSelector' in metaselector.__all__; "
    program += "assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)

"""Estimators as base models of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.data.splitting.protocol import WINDOWS
from metaselector.evaluate.predictions import load_predictions
from metaselector.evaluate.row_features import row_table
from metaselector.inference.trained import TrainedModel
from metaselector.models.precomputed import with_scores
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.fit_estimator import fit_estimator
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.runs.tuning.search import tune

WriteWorld = Callable[..., Path]
DUMMY = "sklearn.dummy.DummyClassifier"
BOOSTING = "sklearn.ensemble.HistGradientBoostingClassifier"


@pytest.fixture(scope="module")
def prepared(write_world: WriteWorld, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("estimators")
    made = Run(folder / "run", load_config())
    prepare_run(made, write_world(folder / "raw"), folder / "data")
    return made


def run_of(prepared: Run, directory: Path, models: Mapping[str, Any], **changes: Any) -> Run:
    """A run of its own on the prepared data."""
    (directory / "data").symlink_to(prepared.data_directory)
    path = directory / "models.yaml"
    path.write_text("base_models: {}")
    return Run(directory, load_config(path, changes={"base_models": models, **changes}))


def test_each_window_is_fitted_on_its_own_rows(prepared: Run, tmp_path: Path) -> None:
    """The classifier predicts the mean of the labels it was fitted on."""
    run = run_of(prepared, tmp_path, {"mean": {"estimator": DUMMY}})
    means = []
    for window in WINDOWS:
        fitted, made = fit_estimator(run, "mean", window, 0)
        (mean,) = torch.sigmoid(fitted.scores.unique()).tolist()
        rows = run.protocol.fitting_rows(window)
        assert len(fitted.scores) == len(run.dataset)
        assert mean == pytest.approx(run.dataset.labels[rows].mean(), abs=1e-6)
        assert (made.history[0]["valid_loss"] is None) == (window == "full")
        means.append(mean)
    assert len(set(means)) == 3


def test_scores_are_those_of_the_classifier(prepared: Run, tmp_path: Path) -> None:
    options = {"max_iter": 5}
    run = run_of(prepared, tmp_path, {"trees": {"estimator": BOOSTING, "options": options}})
    pretrain_base_models(run, Silent())
    rows = np.arange(50)
    for window in WINDOWS:
        table, _ = row_table(run.dataset, np.arange(len(run.dataset)))
        known = run.protocol.fitting_rows(window)
        trees = HistGradientBoostingClassifier(max_iter=5, random_state=0)
        trees.fit(table.iloc[known], run.dataset.labels[known].astype(int))
        output = run.checkpoints.load_mixture(window, 0)(run.dataset.scored_batch(rows))
        expected = trees.predict_proba(table.iloc[rows])[:, 1]
        np.testing.assert_allclose(output.base_probabilities[:, 0], expected, rtol=1e-5)


NOISY = """
import numpy as np

class Noisy:
    def __init__(self, random_state=None, shift=0.0, model=None):
        self.p = np.random.default_rng(random_state).random()

    def fit(self, X, y): ...

    def predict_proba(self, X):
        return np.tile([1 - self.p, self.p], (len(X), 1))
"""


def test_seeds_have_scores_of_their_own(prepared: Run, tmp_path: Path) -> None:
    path = tmp_path / "noisy.py"
    path.write_text(NOISY)
    models = {"noisy": {"estimator": f"{path}:Noisy"}}
    run = run_of(prepared, tmp_path, models, seeds=[3, 4])
    pretrain_base_models(run, Silent())
    mixtures = {seed: run.checkpoints.load_mixture("train", seed) for seed in (3, 4)}
    batch = run.dataset.scored_batch(np.arange(2))
    for seed, mixture in mixtures.items():
        expected = np.random.default_rng(seed).random()
        assert mixture(batch).base_probabilities[:, 0].tolist() == pytest.approx([expected] * 2)


def test_only_fill_scores_changes_the_data_set(prepared: Run, tmp_path: Path) -> None:
    models = {"mean": {"estimator": DUMMY}, "lr": {"pretrain": {"epochs": 1}}}
    run = run_of(prepared, tmp_path, models)
    pretrain_base_models(run, Silent())
    for name in models:
        run.checkpoints.load_base(name, "full", 0)
        assert run.checkpoints.base_record(name, "full", 0).epochs == 1
    assert np.isnan(run.dataset.scores).all()
    run.checkpoints.fill_scores("full", 0)
    kept = run.checkpoints.base_tensors("mean", "full", 0)[0]["scores"]
    assert run.checkpoints.scores("mean", "full", 0).tolist() == kept.tolist()
    assert np.isnan(run.checkpoints.scores("mean", "train", 0)).all()


def test_what_is_fitted_is_kept_until_its_settings_or_its_file_change(
    prepared: Run, tmp_path: Path
) -> None:
    path = tmp_path / "noisy.py"
    path.write_text(NOISY)
    models: dict[str, Any] = {"noisy": {"estimator": f"{path}:Noisy"}}
    run = run_of(prepared, tmp_path, models)
    pretrain_base_models(run, Silent())
    assert Run(run.directory, run.config).checkpoints.has_base("noisy", "full", 0)
    path.rename(tmp_path / "moved.py")
    moved = load_config(
        changes={"base_models": {"noisy": {"estimator": f"{tmp_path}/moved.py:Noisy"}}}
    )
    assert Run(run.directory, moved).checkpoints.has_base("noisy", "full", 0)
    path.write_text(NOISY + "# edited\n")
    assert not Run(run.directory, run.config).checkpoints.has_base("noisy", "full", 0)
    path.write_text(NOISY)
    other = load_config(
        changes={"base_models": {"noisy": models["noisy"] | {"options": {"shift": 0.1}}}}
    )
    assert not Run(run.directory, other).checkpoints.has_base("noisy", "full", 0)


def test_files_that_options_name_are_known_by_what_they_say(prepared: Run, tmp_path: Path) -> None:
    """As the model of FuxiCTR is."""
    path, inner = tmp_path / "noisy.py", tmp_path / "inner.py"
    path.write_text(NOISY)
    inner.write_text("class Inner: ...\n")
    options = {"model": f"{inner}:Inner"}
    run = run_of(prepared, tmp_path, {"a": {"estimator": f"{path}:Noisy", "options": options}})
    pretrain_base_models(run, Silent())
    assert Run(run.directory, run.config).checkpoints.has_base("a", "full", 0)
    inner.write_text("class Inner:\n    edited = True\n")
    assert not Run(run.directory, run.config).checkpoints.has_base("a", "full", 0)


def test_what_is_wrong_is_said_before_anything_trains(prepared: Run, tmp_path: Path) -> None:
    models = {"lr": {}, "trees": {"estimator": BOOSTING, "options": {"max_itr": 5}}}
    run = run_of(prepared, tmp_path, models)
    with pytest.raises(ConfigError, match=r"trees\.options\.max_itr.*did you mean 'max_iter'"):
        pretrain_base_models(run, Silent())
    assert not run.checkpoints.has_base("lr", "early", 0)


@pytest.mark.parametrize(
    ("estimator", "options", "problem"),
    [
        (BOOSTING, {"max_iter": "many"}, "cannot be fitted .*'max_iter' parameter .*options"),
        ("FILE:One", {}, r"shape \[1200\] for 1200 rows, expected \[1200, 2\]"),
        ("FILE:Many", {}, "values from -1 to 2, which are not probabilities"),
        ("FILE:Nan", {}, "values from nan to nan"),
    ],
)
def test_what_cannot_be_fitted(
    prepared: Run, tmp_path: Path, estimator: str, options: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "odd.py"
    path.write_text(
        "import numpy as np\nclass Odd:\n    def fit(self, X, y): ...\n"
        "class One(Odd):\n    def predict_proba(self, X): return np.ones(len(X))\n"
        "class Many(Odd):\n    def predict_proba(self, X): return np.tile([-1, 2], (len(X), 1))\n"
        "class Nan(Odd):\n    def predict_proba(self, X): return np.full((len(X), 2), np.nan)\n"
    )
    named = {"estimator": estimator.replace("FILE", str(path)), "options": options}
    run = run_of(prepared, tmp_path, {"odd": named})
    with pytest.raises(ConfigError, match=rf"base_models\.odd: .*{problem}"):
        fit_estimator(run, "odd", "early", 0)


def test_data_that_an_estimator_does_not_fit(prepared: Run) -> None:
    models = load_config(overrides=[f"base_models.trees.estimator={BOOSTING}"]).base_models
    dataset = Run(prepared.directory, prepared.config).dataset
    for change, problem in (
        ({"tasks": ("a", "b")}, "several tasks"),
        ({"cold_seed": 0}, "protocol=warm only"),
    ):
        schema = dataset.schema.model_copy(update=change)
        with pytest.raises(ConfigError, match=rf"base_models\.trees\.estimator: .*{problem}"):
            with_scores(replace(dataset, schema=schema), models)


def test_options_are_tuned(prepared: Run, tmp_path: Path) -> None:
    """For the estimator's own loss, and, in memory, for that of a selector above it."""
    models = {"lr": {"pretrain": {"epochs": 1}}, "trees": {"estimator": BOOSTING}}
    run = run_of(prepared, tmp_path, models, selector={"epochs": 1}, threads=1)
    space = tmp_path / "space.yaml"
    space.write_text("base_models.trees.options.max_iter: {choices: [1, 4]}\n")
    for target in ("trees", "sample-selector"):
        trials = pd.read_csv(tune(run, space, target, 3, Silent()).trials)
        losses = trials.groupby("base_models.trees.options.max_iter")["valid_logloss"].nunique()
        assert (losses == 1).all()
        assert trials["valid_logloss"].nunique() == len(losses)


def test_a_run_with_lightgbm(write_world: WriteWorld, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    models = tmp_path / "models.yaml"
    models.write_text("base_models: {}")
    options = {"n_estimators": 3, "verbosity": -1}
    changes = {
        "base_models": {
            "lr": {"pretrain": {"epochs": 1}},
            "trees": {"estimator": "lightgbm.LGBMClassifier", "options": options},
        },
        "adapt": {"support_size": 5},
        "selector": {"epochs": 1},
        "meta_train": {"epochs": 1, "outer_lr_theta": 1e-4},
        "paper": {"epochs": 1},
        "evaluate": {"resamples": 2},
        "threads": 1,
    }
    run = Run(tmp_path / "run", load_config(models, changes=changes))
    prepare_run(run, write_world(tmp_path / "raw"), tmp_path / "data")
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    evaluate(run, Silent())

    predicted = load_predictions(run.directory / "predictions.parquet")
    trees = predicted[predicted["model"] == "trees"].set_index("row")["p"]
    test = np.flatnonzero(np.isin(run.dataset.source_rows, trees.index))
    table, categories = row_table(run.dataset, np.arange(len(run.dataset)))
    known = run.protocol.fitting_rows("full")
    fitted = lightgbm.LGBMClassifier(**options, random_state=0).fit(
        table.iloc[known],
        run.dataset.labels[known].astype(int),
        categorical_feature=categories,
    )
    expected = fitted.predict_proba(table.iloc[test])[:, 1]
    found = trees.loc[run.dataset.source_rows[test]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    learned = run.checkpoints.load_learned("metaselector", 0)
    assert any(key.startswith("base_models.lr.") for key in learned.theta_delta)
    assert not any("trees" in key for key in [*learned.theta_delta, *learned.alpha])
    assert TrainedModel.of_run(run).estimators["trees"].kept.form == "lightgbm"
    files = {p: p.stat().st_mtime_ns for p in run.directory.rglob("*.safetensors")}
    assert sum("base-trees" in path.name for path in files) == 3
    again = Run(run.directory, run.config)
    pretrain_base_models(again, Silent())
    assert {p: p.stat().st_mtime_ns for p in files} == files

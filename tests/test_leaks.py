"""Test labels reach nothing that is trained, and no prediction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from metaselector.common.progress import Silent
from metaselector.config import Config, load_config
from metaselector.evaluate.predictions import load_predictions
from metaselector.meta.variants import variants_of
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.runs.tuning.search import tune

CONFIG: Config = load_config(
    overrides=(
        "base_models.lr.pretrain.epochs=2",
        "base_models.fm.pretrain.epochs=2",
        "base_models.deepfm.pretrain.epochs=2",
        "base_models.deepfm.options.hidden_sizes=[4]",
        "base_models.trees.estimator=sklearn.tree.DecisionTreeClassifier",
        "base_models.trees.options.max_depth=5",
        "selector.hidden_size=4",
        "adapt.support_size=10",
        "meta_train.epochs=2",
        "selector.epochs=2",
        "paper.epochs=2",
        "meta_train.users_per_batch=10",
        "evaluate.resamples=2",
        "threads=1",
    )
)
VALID_START, TEST_START, ROWS = 24, 27, 30
"""Where the windows of a user's 30 rows begin, by 80 and 90 percent."""


def flip(start: int, stop: int) -> Callable[[np.ndarray], np.ndarray]:
    """Turns every label of each user's rows from `start` to `stop` into its opposite."""

    def flipped(ratings: np.ndarray) -> np.ndarray:
        changed = ratings.copy()
        changed[:, start:stop] = np.where(ratings[:, start:stop] >= 4, 1, 5)
        return changed

    return flipped


def train_and_evaluate(source: Path, directory: Path) -> Run:
    run = Run(directory, CONFIG)
    prepare_run(run, source, directory)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    evaluate(run, Silent())
    return run


@pytest.fixture(scope="module")
def runs(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """The same run on the data as it is, with other test labels, and with other valid labels."""
    folder = tmp_path_factory.mktemp("leaks")
    worlds = {
        "plain": None,
        "test": flip(TEST_START, ROWS),
        "valid": flip(VALID_START, TEST_START),
    }
    return {
        name: train_and_evaluate(write_world(folder / f"raw {name}", change), folder / name)
        for name, change in worlds.items()
    }


def checkpoints(run: Run) -> dict[str, dict[str, np.ndarray]]:
    paths = sorted(run.directory.rglob("*.safetensors"))
    return {path.stem: load_file(path) for path in paths}


def changed_tensors(a: Run, b: Run) -> set[str]:
    """``checkpoint/tensor`` of every tensor that differs."""
    first, second = checkpoints(a), checkpoints(b)
    assert first.keys() == second.keys()
    assert len(first) == 6 * 3 + len(variants_of(CONFIG.adapt)) == 6 * 3 + 9
    changed = set()
    for name, tensors in first.items():
        assert tensors.keys() == second[name].keys()
        changed |= {
            f"{name}/{key}"
            for key in tensors
            if not np.array_equal(tensors[key], second[name][key])
        }
    return changed


def predictions(run: Run) -> pd.DataFrame:
    table = load_predictions(run.directory / "predictions.parquet")
    return table[~table["model"].str.startswith("oracle-")].drop(columns="y")


def test_only_the_test_labels_were_changed(runs: dict[str, Run]) -> None:
    plain, changed = runs["plain"].dataset, runs["test"].dataset
    is_test = np.arange(len(plain)) % ROWS >= TEST_START
    assert np.array_equal(changed.labels != plain.labels, is_test)
    assert plain.digest() != changed.digest()


def test_test_labels_change_no_feature(runs: dict[str, Run]) -> None:
    plain, changed = runs["plain"].dataset, runs["test"].dataset
    every = np.arange(len(plain))
    for ours, theirs in zip(plain.batch(every), changed.batch(every), strict=True):
        assert torch.equal(ours, theirs)


def test_test_labels_change_no_trained_parameter(runs: dict[str, Run]) -> None:
    assert changed_tensors(runs["plain"], runs["test"]) == set()


def test_estimators_see_no_later_label(runs: dict[str, Run]) -> None:
    """As scores of rows before *valid* tell, whose features know none of its labels."""
    plain, changed = (checkpoints(runs[world]) for world in ("plain", "valid"))
    for window in ("early", "train", "full"):
        ours, theirs = (
            found[f"base-trees-{window}"]["scores"].reshape(-1, ROWS)[:, :VALID_START]
            for found in (plain, changed)
        )  # [users, rows before valid]
        assert np.array_equal(ours, theirs) == (window != "full")


@pytest.mark.parametrize("name", ["history", "rates"])
def test_test_labels_change_no_step_of_training(runs: dict[str, Run], name: str) -> None:
    """Of any epoch: the parameters above are those of the best one."""
    plain, changed = (
        pd.read_csv(runs[world].directory / f"{name}.csv", dtype=str).drop(
            columns="seconds", errors="ignore"
        )
        for world in ("plain", "test")
    )
    pd.testing.assert_frame_equal(plain, changed)


def test_test_labels_change_no_prediction(runs: dict[str, Run]) -> None:
    pd.testing.assert_frame_equal(
        predictions(runs["plain"]), predictions(runs["test"]), check_exact=True
    )
    plain, changed = (
        runs[world].directory / "valid_predictions.parquet" for world in ("plain", "test")
    )
    assert plain.read_bytes() == changed.read_bytes()


@pytest.fixture(scope="module")
def trials(runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings and loss of every trial, as text, of a search in each run."""
    space = tmp_path_factory.mktemp("space") / "space.yaml"
    space.write_text(
        "adapt.inner_lr_phi: {low: 0.1, high: 3.0}\n"
        "base_models.fm.pretrain.learning_rate: {low: 0.001, high: 0.05, log: true}\n"
    )
    return {
        name: pd.read_csv(tune(run, space, "metaselector", 3, Silent()).trials)
        .drop(columns="seconds")
        .to_csv()
        for name, run in runs.items()
    }


def test_test_labels_change_no_trial(trials: dict[str, str]) -> None:
    assert trials["test"] == trials["plain"]


def test_valid_labels_change_trials(trials: dict[str, str]) -> None:
    """Guards the test above."""
    assert trials["valid"] != trials["plain"]


def test_the_comparison_sees_a_change(runs: dict[str, Run]) -> None:
    """Guards the tests above: labels of *valid* do change refitted models and predictions."""
    changed = {name.split("/")[0] for name in changed_tensors(runs["plain"], runs["valid"])}
    assert {"base-lr-full", "base-fm-full", "base-deepfm-full", "base-trees-full"} <= changed
    assert not predictions(runs["plain"]).equals(predictions(runs["valid"]))

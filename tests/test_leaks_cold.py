"""Labels of new users reach nothing that is trained; those of the support reach predictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from metaselector.common.progress import Silent
from metaselector.config import Config, load_config
from metaselector.data.splitting.windows import user_places
from metaselector.evaluate.predictions import load_predictions
from metaselector.meta.variants import variants_of
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

SIZES = (3, 6)
CONFIG: Config = load_config(
    overrides=(
        "protocol=cold",
        f"cold.support_sizes={list(SIZES)}",
        "base_models.lr.pretrain.epochs=2",
        "base_models.fm.pretrain.epochs=2",
        "base_models.deepfm.pretrain.epochs=2",
        "base_models.deepfm.options.hidden_sizes=[4]",
        "selector.hidden_size=4",
        "meta_train.epochs=2",
        "selector.epochs=2",
        "paper.epochs=2",
        "meta_train.users_per_batch=10",
        "evaluate.resamples=2",
        "threads=1",
    )
)
places = user_places([f"u{u}" for u in range(40)], CONFIG.cold.split_seed)
TEST, VALID = places >= CONFIG.cold.valid, (places >= CONFIG.cold.train) & (places < 90)


def flip(users: np.ndarray, start: int, stop: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Turns the labels of the users' rows from `start` to `stop` into their opposite."""

    def flipped(ratings: np.ndarray) -> np.ndarray:
        changed = ratings.copy()
        opposite = np.where(ratings >= 4, 1, 5)
        changed[users, start:stop] = opposite[users, start:stop]
        return changed

    return flipped


WORLDS = {
    "plain": None,
    "query": flip(TEST, SIZES[-1], None),
    "support": flip(TEST, 0, SIZES[0]),
    "valid": flip(VALID, 0, None),
}


@pytest.fixture(scope="module")
def runs(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """The same run on the data as it is, and with other labels of some rows."""
    folder = tmp_path_factory.mktemp("leaks")
    runs = {}
    for name, change in WORLDS.items():
        source = write_world(folder / f"raw {name}", change)
        runs[name] = run = Run(folder / name, CONFIG)
        prepare_run(run, source, folder)
        pretrain_base_models(run, Silent())
        meta_train_selectors(run, Silent())
        evaluate(run, Silent())
    return runs


def changed_checkpoints(a: Run, b: Run) -> set[str]:
    first, second = (
        {path.stem: load_file(path) for path in sorted(run.directory.rglob("*.safetensors"))}
        for run in (a, b)
    )
    assert first.keys() == second.keys()
    assert len(first) == 5 * 3 + len(variants_of(CONFIG.adapt)) == 5 * 3 + 9
    return {
        name
        for name, tensors in first.items()
        if any(not np.array_equal(tensors[key], second[name][key]) for key in tensors)
    }


def predictions(run: Run, size: int) -> pd.DataFrame:
    """Without the oracles, a column a model; rows by their place in the file."""
    table = load_predictions(run.directory / f"support-{size}" / "predictions.parquet")
    return table[~table["model"].str.startswith("oracle-")].pivot_table("p", "row", "model")


def test_only_labels_were_changed(runs: dict[str, Run]) -> None:
    plain = runs["plain"].dataset
    rank = np.arange(len(plain)) % 30
    is_test = np.repeat(TEST[[int(name[1:]) for name in plain.user_names]], 30)
    for name, expected in {
        "query": is_test & (rank >= SIZES[-1]),
        "support": is_test & (rank < SIZES[0]),
    }.items():
        assert np.array_equal(runs[name].dataset.labels != plain.labels, expected)
        assert runs[name].dataset.schema == plain.schema


@pytest.mark.parametrize("world", ["query", "support"])
def test_labels_of_test_users_change_no_trained_parameter(runs: dict[str, Run], world: str) -> None:
    assert changed_checkpoints(runs["plain"], runs[world]) == set()


@pytest.mark.parametrize("world", ["query", "support"])
@pytest.mark.parametrize("name", ["history", "rates"])
def test_nor_a_step_of_training(runs: dict[str, Run], world: str, name: str) -> None:
    plain, changed = (
        pd.read_csv(runs[w].directory / f"{name}.csv").drop(columns="seconds", errors="ignore")
        for w in ("plain", world)
    )
    pd.testing.assert_frame_equal(plain, changed, check_exact=True)


@pytest.mark.parametrize("size", SIZES)
def test_labels_of_queries_change_no_prediction(runs: dict[str, Run], size: int) -> None:
    """Nor a combiner: what it learned would show in them. Nor a history."""
    pd.testing.assert_frame_equal(
        predictions(runs["plain"], size), predictions(runs["query"], size), check_exact=True
    )


@pytest.mark.parametrize("size", SIZES)
def test_labels_of_the_support_do(runs: dict[str, Run], size: int) -> None:
    """Guards the test above."""
    plain, changed = (predictions(runs[world], size) for world in ("plain", "support"))
    moved = (plain != changed).any()
    assert moved[["metaselector", "metaselector-simplified", "user-exponential", "lr"]].all()


def test_labels_of_valid_users_change_refitted_models(runs: dict[str, Run]) -> None:
    changed = changed_checkpoints(runs["plain"], runs["valid"])
    assert {"base-lr-full", "base-fm-full", "base-deepfm-full"} <= changed


def test_valid_users_change_no_vocabulary(runs: dict[str, Run]) -> None:
    assert runs["valid"].dataset.schema == runs["plain"].dataset.schema


def test_only_early_users_have_an_id_of_their_own(runs: dict[str, Run]) -> None:
    dataset = runs["plain"].dataset
    field = dataset.schema.fields[0]
    assert field.name == "user"
    early = {f"u{u}" for u in np.flatnonzero(places < CONFIG.cold.early)}
    assert set(field.vocabulary) == early
    unseen = dataset.user_cells[:, 0] == field.first_id
    assert {name for name, new in zip(dataset.user_names, unseen, strict=True) if not new} == early


def test_every_table_has_all_rows(runs: dict[str, Run]) -> None:
    directory = runs["plain"].directory
    for size in SIZES:
        results = pd.read_csv(directory / f"support-{size}" / "results.csv")
        assert set(results["protocol"]) == {f"cold-{size}"}
        assert set(results["n_test"]) == {TEST.sum() * (30 - size)}
        assert len(results) == 5 + 5 + 19 + 2
    support = pd.read_csv(directory / "support.csv")
    assert set(support["common_test"]) == {TEST.sum() * (30 - SIZES[-1])}
    last = support[support["support_size"] == SIZES[-1]]
    assert np.array_equal(last["auc"], last["common_auc"], equal_nan=True)
    assert np.array_equal(last["logloss"], last["common_logloss"])

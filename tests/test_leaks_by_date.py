"""With everybody split at dates, nothing that is later than a date reaches what comes before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from metaselector.common.progress import Silent
from metaselector.config import Config, change_config, load_config
from metaselector.data.splitting.by_date import ByDate
from metaselector.evaluate.predictions import load_predictions
from metaselector.meta.variants import variants_of
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from tests.arrivals import world, write

CONFIG: Config = load_config(
    overrides=(
        "protocol=global",
        "base_models.lr.pretrain.epochs=2",
        "base_models.fm.pretrain.epochs=2",
        "base_models.deepfm.pretrain.epochs=2",
        "base_models.deepfm.options.hidden_sizes=[4]",
        "selector.hidden_size=4",
        "selector.epochs=2",
        "paper.epochs=2",
        "adapt.support_size=6",
        "meta_train.epochs=2",
        "meta_train.users_per_batch=10",
        "meta_train.support_boundary=random",
        "evaluate.resamples=2",
        "threads=1",
    )
)
ONCE = change_config(
    CONFIG,
    {
        f"base_models.{name}.pretrain.epochs": 1
        for name in ("lr", "fm", "deepfm", "additive", "itemknn")
    },
)
"""Without a choice of epochs, which is made on *valid*."""
Change = Callable[[pd.DataFrame], pd.DataFrame]
TRAIN, VALID = 0.8, 0.9


def shuffled_from(share: float) -> Change:
    """Deals users, items and ratings after a share of the rows to other times; some items are new.

    Ratings are turned over too. The rows of a time stay, so the dates do.
    """

    def change(table: pd.DataFrame) -> pd.DataFrame:
        date = table["time"].iloc[int(share * len(table))]
        later = table.index[table["time"] >= date]
        dealt = np.random.default_rng(1).permutation(later)
        changed = table.copy()
        for column in ("user", "item", "rating"):
            changed.loc[later, column] = table.loc[dealt, column].to_numpy()
        changed.loc[later, "rating"] = 6 - changed.loc[later, "rating"]
        changed.loc[later[::5], "item"] = [f"i{25 + n % 5}" for n in range(len(later[::5]))]
        assert not changed.duplicated(["user", "item", "time"]).any()  # they would be dropped
        return changed

    return change


def flipped(rows: np.ndarray) -> Change:
    """Turns the ratings of these rows into their opposite."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        changed = table.copy()
        changed.loc[rows, "rating"] = np.where(table.loc[rows, "rating"] >= 4, 1.0, 5.0)
        return changed

    return change


MakeRun = Callable[..., Run]


@pytest.fixture(scope="module")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    def make(name: str, change: Change | None = None, config: Config = CONFIG) -> Run:
        folder = tmp_path_factory.mktemp("dates")
        table = world() if change is None else change(world())
        run = Run(folder / name, config)
        prepare_run(run, write(folder / "raw", table), folder)
        pretrain_base_models(run, Silent())
        meta_train_selectors(run, Silent())
        evaluate(run, Silent())
        return run

    return make


@pytest.fixture(scope="module")
def plain(make_run: MakeRun) -> Run:
    return make_run("plain")


@pytest.fixture(scope="module")
def later(make_run: MakeRun) -> Run:
    return make_run("later", shuffled_from(VALID))


def changed_checkpoints(a: Run, b: Run) -> set[str]:
    first, second = (
        {path.stem: load_file(path) for path in sorted(run.directory.rglob("*.safetensors"))}
        for run in (a, b)
    )
    assert first.keys() == second.keys()
    assert len(first) == 5 * 3 + len(variants_of(CONFIG.adapt))
    return {
        name
        for name, tensors in first.items()
        if tensors.keys() != second[name].keys()
        or any(not np.array_equal(tensors[key], second[name][key]) for key in tensors)
    }


def predictions(run: Run, folder: str, file: str = "predictions") -> pd.DataFrame:
    """Without the oracles, a column a model; rows by their place in the file."""
    table = load_predictions(run.directory / folder / f"{file}.parquet")
    return table[~table["model"].str.startswith("oracle-")].pivot_table("p", "row", "model")


def protocol_of(run: Run) -> ByDate:
    assert isinstance(run.protocol, ByDate)
    return run.protocol


def test_both_kinds_of_users_are_in_the_test(plain: Run, later: Run) -> None:
    for run in (plain, later):
        splits = run.protocol.evaluation_splits
        assert [split.folder for split in splits] == ["known", "new"]
        assert all(len(set(split.test.users)) > 1 < len(set(split.valid.users)) for split in splits)
    assert protocol_of(plain).dates == protocol_of(later).dates
    assert plain.dataset.digest() != later.dataset.digest()


def test_what_is_later_than_valid_changes_no_vocabulary(plain: Run, later: Run) -> None:
    assert plain.dataset.schema == later.dataset.schema
    words = {word for field in plain.dataset.schema.fields for word in field.vocabulary}
    assert not words & {f"i{item}" for item in range(25, 30)}


def test_nor_a_trained_parameter(plain: Run, later: Run) -> None:
    assert changed_checkpoints(plain, later) == set()


@pytest.mark.parametrize("name", ["history", "rates"])
def test_nor_a_step_of_training(plain: Run, later: Run, name: str) -> None:
    tables = [
        pd.read_csv(run.directory / f"{name}.csv").drop(columns="seconds", errors="ignore")
        for run in (plain, later)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize("folder", [".", "known", "new"])
def test_nor_a_prediction_of_valid(plain: Run, later: Run, folder: str) -> None:
    tables = [predictions(run, folder, "valid_predictions") for run in (plain, later)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_what_is_later_than_train_changes_no_vocabulary_and_no_base_model(
    make_run: MakeRun,
) -> None:
    """Where *valid* does not choose their epochs."""
    plain = make_run("plain", config=ONCE)
    changed = make_run("changed", shuffled_from(TRAIN), ONCE)
    assert plain.dataset.schema == changed.dataset.schema
    moved = changed_checkpoints(plain, changed)
    assert {name for name in moved if name.startswith("base-")} == {
        f"base-{name}-full" for name in ("lr", "fm", "deepfm", "additive", "itemknn")
    }


def test_labels_of_known_users_change_no_prediction(plain: Run, make_run: MakeRun) -> None:
    rows = protocol_of(plain).evaluation_splits[0].test.flat("query")[0]
    changed = make_run("known", flipped(plain.dataset.source_rows[rows]))
    assert (changed.dataset.labels != plain.dataset.labels).sum() == len(rows)
    for folder in (".", "known", "new"):
        pd.testing.assert_frame_equal(
            predictions(plain, folder), predictions(changed, folder), check_exact=True
        )


def test_labels_of_new_users_change_only_what_is_later(plain: Run, make_run: MakeRun) -> None:
    """What they did is learned, block by block, but no row is predicted from its own block."""
    dataset, new = plain.dataset, protocol_of(plain).evaluation_splits[1].test
    rows, _ = new.flat("query")
    middle = np.median(dataset.timestamps[rows])
    after = rows[dataset.timestamps[rows] >= middle]
    changed = make_run("new", flipped(dataset.source_rows[after]))
    assert changed_checkpoints(plain, changed) == set()
    ours, theirs = predictions(plain, "new"), predictions(changed, "new")
    same = (ours == theirs).all(axis=1)
    untouched = [
        row
        for support, query in zip(new.support, new.query, strict=True)
        if not set(support) & set(after)
        for row in query[query >= 0]
    ]
    assert {*rows[dataset.timestamps[rows] <= middle]} <= {*untouched}
    assert same[dataset.source_rows[untouched]].all()
    touched = np.setdiff1d(rows, untouched)
    moved = (ours != theirs).loc[dataset.source_rows[touched]].any()
    expected = ["metaselector", "metaselector-simplified", "user-finetuned", "user-exponential"]
    assert moved[[*expected, "user-bias", "lr"]].all()


def test_the_comparison_sees_a_change(plain: Run, make_run: MakeRun) -> None:
    """Guards the tests above: what is later than *train* changes what is chosen on *valid*."""
    changed = make_run("guard", shuffled_from(TRAIN))
    moved = changed_checkpoints(plain, changed)
    assert {"base-lr-full", "base-fm-full", "base-deepfm-full", "metaselector"} <= moved


def test_tables_hold_known_users_new_users_and_all(plain: Run) -> None:
    found = {f: pd.read_csv(plain.directory / f / "results.csv") for f in ("known", "new", ".")}
    names = {folder: set(table["protocol"]) for folder, table in found.items()}
    assert names == {
        "known": {"global-date-known"},
        "new": {"global-date-new"},
        ".": {"global-date"},
    }
    rows = {folder: set(table["n_test"]) for folder, table in found.items()}
    tested = len(protocol_of(plain).overall.test.flat("query")[0])
    assert rows["."] == {tested}
    assert {a + b for a in rows["known"] for b in rows["new"]} == {tested}
    assert len({tuple(table["model"]) for table in found.values()}) == 1
    models = ["lr", "fm-train", "uniform", "user-bias", "metaselector", "oracle-user"]
    losses = {f: t.set_index("model").loc[models] for f, t in found.items()}
    total = sum(losses[f]["logloss"] * losses[f]["n_test"] for f in ("known", "new"))
    assert np.allclose(losses["."]["logloss"] * tested, total, rtol=1e-12)

"""What reads a run with everybody split at dates: its tables, users, headroom and predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import CheckpointError, ConfigError, UserError
from metaselector.common.progress import Silent
from metaselector.config import change_config, load_config
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL, PerUser, Predictions
from metaselector.evaluate.predictions import load_predictions
from metaselector.inference.explanation import explain_user
from metaselector.inference.trained import TrainedModel
from metaselector.report.page.folders import folders_of
from metaselector.report.page.users import users_of
from metaselector.runs.run import Run
from metaselector.runs.stages.analyse import analyse
from metaselector.runs.stages.base_outputs import base_outputs
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.explore import explore
from metaselector.runs.stages.headroom import measure_headroom
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.reproduce import evaluate_and_report
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from tests.arrivals import world, write

CONFIG = load_config(
    overrides=(
        "protocol=global",
        "seeds=[0, 1]",
        "adapt.support_size=5",
        "adapt.compared_rules=[]",
        "meta_train.epochs=1",
        "evaluate.resamples=2",
        "threads=1",
    ),
    changes={"base_models": {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 1}}}},
)
SIMPLE = {name: make for name, make in COMBINERS.items() if name not in OPTIONAL}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("files") / "raw", world())


@pytest.fixture(scope="module")
def run(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("by date")
    run = Run(folder / "run", CONFIG)
    prepare_run(run, raw, folder)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
        evaluate(run, Silent())
    return run


@pytest.fixture(scope="module")
def new(run: Run) -> EvaluationSplit:
    return run.protocol.evaluation_splits[1]


def last_of_users(episodes: EpisodeRows) -> EpisodeRows:
    return episodes.some(np.flatnonzero(np.diff(episodes.users, append=-1)))


def test_per_user_combiners_learn_from_what_is_earlier_alone(
    run: Run, new: EvaluationSplit
) -> None:
    """Each block again, with a combiner of its own that sees the block's support only."""
    task, outputs = 0, base_outputs(run, new, 0)
    assert outputs.support is not None
    assert outputs.own is not None
    before, after = (o.of(task, by_episode=True) for o in (outputs.support, outputs.fitting))
    table = load_predictions(run.directory / "new" / "predictions.parquet")
    for name in ("user-best", "user-exponential", "user-bias"):
        found = table[(table["model"] == name) & (table["seed"] == 0)].set_index("row")["p"]
        others = COMBINERS[name]().fit(outputs.fitting.of(task)).predict(outputs.unseen.of(task))
        for episode in range(len(new.test.users)):
            rows = outputs.unseen.episodes == episode
            query = outputs.unseen.of(task).some(rows, labels=False)
            expected = others[rows]
            mine = outputs.own.episodes == episode
            if mine.any():
                own: Predictions = outputs.own.of(task).some(mine, labels=True)
                combiner = COMBINERS[name]()
                assert isinstance(combiner, PerUser)
                expected = combiner.tune(before, after).fit(own).predict(query)
            places = run.dataset.source_rows[outputs.unseen.rows[rows]]
            np.testing.assert_allclose(found.loc[places], expected, rtol=1e-9)


def test_a_saved_model_predicts_what_the_table_holds(
    run: Run, new: EvaluationSplit, tmp_path: Path
) -> None:
    """Adapted on the user's rows strictly before the block, from the raw file."""
    TrainedModel.of_run(run, seed=0).save(tmp_path / "model")
    trained = TrainedModel.load(tmp_path / "model")
    table = load_predictions(run.directory / "new" / "predictions.parquet")
    table = table[(table["model"] == trained.variant) & (table["seed"] == 0)].set_index("row")["p"]
    frame = world().rename(columns={"time": "timestamp"})
    for episode in (0, len(new.test.users) - 1):
        (query,) = new.test.query[[episode]]
        places = run.dataset.source_rows[query[query >= 0]]
        asked = frame.loc[places]
        same = frame["user"] == asked["user"].iloc[0]
        past = frame[same & (frame["timestamp"] < asked["timestamp"].min())]
        found = predicted(trained, past, asked)
        np.testing.assert_allclose(found, table.loc[places], atol=1e-6)


def predicted(trained: TrainedModel, past: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    history, candidates = (
        RawRows.of_frame(trained.encoder, frame, Path(name))
        for frame, name in ((past, "history"), (asked.drop(columns="rating"), "candidates"))
    )
    return trained.predict(history, candidates).probabilities


def test_the_page_has_a_table_of_each_kind_and_one_of_all(run: Run) -> None:
    evaluate_and_report(run, Silent())
    found = folders_of(run.directory)
    assert [(folder.path.name, folder.title) for folder in found] == [
        ("run", "all users"),
        ("known", "known users"),
        ("new", "new users"),
    ]
    for folder in found:
        assert "global-date" in (folder.path / "summary.md").read_text()
        assert (folder.path / "figures" / "comparison.png").exists()


def test_the_explorer_has_all_users_and_the_last_block_of_new_ones(
    run: Run, new: EvaluationSplit
) -> None:
    explore(run, Silent())
    found = users_of(run.directory)
    every = run.protocol.overall.test
    names = run.dataset.user_names
    assert {user["name"] for user in found["users"]} == {names[user] for user in every.users}
    last = last_of_users(new.test)
    by_name = {user["name"]: user for user in found["users"]}
    for user, support in zip(last.users, last.support, strict=True):
        entry = by_name[names[user]]
        assert len(entry["support"][0]) == (support >= 0).sum()
        assert len(entry["steps"]) == CONFIG.adapt.steps + 1
        rows = new.test.query[new.test.users == user]
        assert len(entry["test"][0]) == (rows >= 0).sum()
    explore(run, Silent(), most_users=3)
    assert len(users_of(run.directory)["users"]) == 3


def test_an_explanation_is_that_of_the_last_block(run: Run, new: EvaluationSplit) -> None:
    last = last_of_users(new.test)
    place = int(np.argmax((last.support >= 0).sum(axis=1)))
    name = run.dataset.user_names[last.users[place]]
    found = explain_user(run, name)
    assert len(found.rows) == (last.support[place] >= 0).sum() > 1


def test_headroom_is_measured_for_each_kind_and_for_all(run: Run) -> None:
    found = dict(measure_headroom(run, None, 10, Silent()))
    assert [folder.relative_to(run.directory).as_posix() for folder in found] == [
        "known",
        "new",
        ".",
    ]
    for table in found.values():
        assert {"test", "valid"} <= set(table["window"])
        assert table.loc[table["figure"].str.startswith("support-size"), "value"].max() == 5


def test_analyse_is_refused(run: Run) -> None:
    with pytest.raises(UserError, match="needs protocol=warm, but this run has protocol=global"):
        analyse(run, Silent())


def test_data_prepared_at_other_dates_is_refused(run: Run) -> None:
    given = change_config(
        CONFIG, {"split.dates": ["1998-01-01", "1998-02-01T12:00:00", "1998-03-01"]}
    )
    message = (
        r"prepared with split\.dates=None, this run has \[1998-01-01T00:00:00Z, "
        r"1998-02-01T12:00:00Z, 1998-03-01T00:00:00Z\]"
    )
    with pytest.raises(CheckpointError, match=message):
        _ = Run(run.directory, given).dataset
    with pytest.raises(CheckpointError, match="prepared with protocol=global, this run has warm"):
        _ = Run(run.directory, change_config(CONFIG, {"protocol": "warm"})).dataset


def test_estimators_are_refused(run: Run) -> None:
    trees = {"base_models.trees": {"estimator": "sklearn.tree.DecisionTreeClassifier"}}
    with pytest.raises(ConfigError, match=r"trees\.estimator: works with protocol=warm only"):
        _ = Run(run.directory, change_config(CONFIG, trees)).dataset


def test_several_tasks_have_an_overview_of_all_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = world().assign(loved=lambda t: np.where(t["rating"] >= 4, t["rating"] == 5, np.nan))
    table.assign(liked=(table["rating"] >= 4).astype(int)).to_csv(tmp_path / "log.csv", index=False)
    schema = tmp_path / "log.yaml"
    schema.write_text(
        "version: 1\ninteractions: log.csv\nuser: user\nitem: item\n"
        "time: {column: time, unit: seconds}\n"
        "labels: {liked: {column: liked}, loved: {column: loved, after: liked}}\n"
    )
    several = Run(tmp_path / "run", change_config(CONFIG, {"dataset": str(schema), "seeds": [0]}))
    prepare_run(several, None, tmp_path)
    pretrain_base_models(several, Silent())
    meta_train_selectors(several, Silent())
    monkeypatch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
    evaluate(several, Silent())
    tasks = pd.read_csv(several.directory / "tasks.csv")
    assert set(tasks["protocol"]) == {"global-date"}
    rows = several.protocol.overall.test.flat("query")[0]
    observed = (~np.isnan(several.dataset.task_labels[rows])).sum(axis=0)
    assert dict(zip(tasks["task"], tasks["n_test"], strict=True)) == {
        "liked": observed[0], "loved": observed[1],
    }  # fmt: skip
    for task in ("liked", "loved"):
        for folder in ("known", "new"):
            assert (several.directory / f"task-{task}" / folder / "results.csv").exists()

"""The pipeline on data with several tasks: films that are watched, then liked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.common.errors import UserError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.evaluate.metrics import auc, logloss
from metaselector.evaluate.predictions import load_predictions
from metaselector.report.page.users import users_of
from metaselector.report.page.write import write_page
from metaselector.report.tasks import read_tasks
from metaselector.runs.run import Run
from metaselector.runs.stages import headroom
from metaselector.runs.stages.analyse import analyse
from metaselector.runs.stages.explore import explore
from metaselector.runs.stages.reproduce import reproduce

TASKS = ("watched", "liked")
MODELS = ("esmm", "ple", "fm")
SETTINGS = """
dataset: movielens-100k-funnel
threads: 1
cold: {support_sizes: [2, 5]}
base_models:
  esmm: {pretrain: {epochs: 1}}
  ple: {pretrain: {epochs: 1}}
  fm: {pretrain: {epochs: 1}}
adapt: {support_size: 5, task_weights: {liked: 2.0}}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {epochs: 1}
evaluate: {resamples: 2}
"""


@pytest.fixture(scope="module", params=["warm", "cold"])
def run(
    request: pytest.FixtureRequest,
    write_world: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp(f"tasks-{request.param}")
    file = folder / "config.yaml"
    file.write_text(SETTINGS)
    config = load_config(file, changes={"protocol": request.param})
    run = Run(folder / "run", config)
    before = torch.get_num_threads()
    reproduce(run, write_world(folder / "raw"), folder, Silent())
    yield run
    torch.set_num_threads(before)


def tables(run: Run) -> list[tuple[str, Path]]:
    """Every task with each of the folders of its tables."""
    of_tasks = zip(TASKS, run.task_folders, strict=True)
    evaluation_splits = run.protocol.evaluation_splits
    return [
        (task, run.directory / folder / evaluation_split.folder)
        for task, folder in of_tasks
        for evaluation_split in evaluation_splits
    ]


def test_each_task_has_its_tables_and_figures(run: Run) -> None:
    assert run.task_folders == ("task-watched", "task-liked")
    for _, folder in tables(run):
        for file in ("results.csv", "differences.csv", "summary.md", "figures/comparison.png"):
            assert (folder / file).exists(), folder / file


def test_each_task_is_tested_where_it_is_observed(run: Run) -> None:
    labels, rows = run.dataset.task_labels, run.dataset.source_rows
    for task, folder in tables(run):
        predictions = load_predictions(folder / "predictions.parquet")
        assert set(predictions["task"]) == {task}
        one = predictions[predictions["model"] == "metaselector"]
        of_row = labels[np.argsort(rows)[np.searchsorted(np.sort(rows), one["row"])]]
        assert (of_row[:, TASKS.index(task)] == one["y"]).all()
        if task == "liked":
            assert (of_row[:, 0] == 1).all(), "only what was watched can be liked"
        results = pd.read_csv(folder / "results.csv").set_index("model")
        assert results.loc["metaselector", "auc"] == pytest.approx(auc(one["y"], one["p"]))
        assert results.loc["metaselector", "logloss"] == pytest.approx(logloss(one["y"], one["p"]))
        selecting = [*MODELS, "uniform", "convex", "sample-selector", "oracle-user"]
        assert results.loc[selecting, "logloss"].min() >= results.loc["oracle-sample", "logloss"]


def test_headroom_does_not_need_the_predictions_of_evaluation(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = list(headroom.measure_headroom(run, None, 3, Silent()))
    monkeypatch.setattr(headroom, "WINDOWS", {"test": "none", "valid": "none"})
    predicted = list(headroom.measure_headroom(run, None, 3, Silent()))
    folders = [folder for _, folder in tables(run)]
    assert {folder for folder, _ in evaluated} == set(folders)
    for (folder, expected), (same_folder, found) in zip(evaluated, predicted, strict=True):
        assert folder == same_folder
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


def test_the_selector_weighs_each_task_by_itself(run: Run) -> None:
    weights = {
        task: pd.read_parquet(folder / "weights.parquet").query("model == 'sample-selector'")
        for task, folder in tables(run)
    }
    for table in weights.values():
        sums = table.groupby(["seed", "row"])["weight"].sum()
        assert np.allclose(sums, 1, atol=1e-6)
        assert set(table["base_model"]) == set(MODELS)
    keys = ["seed", "row", "base_model"]
    both = weights["watched"].merge(weights["liked"], on=keys, validate="one_to_one")
    assert not np.allclose(both["weight_x"], both["weight_y"], atol=1e-6)


def test_the_overview_shows_every_task(run: Run) -> None:
    summary = read_tasks(run.directory)
    assert summary.titles == ["watched AUC", "watched logloss", "liked AUC", "liked logloss"]
    text = (run.directory / "summary.md").read_text(encoding="utf-8")
    results = pd.read_csv(run.directory / "tasks.csv")
    chosen = results.query("model == 'metaselector' and task == 'liked'")["logloss"].mean()
    line = next(line for line in text.splitlines() if line.startswith("| metaselector |"))
    assert f"{chosen:.4f}" in line


def test_the_support_curve_has_the_weighted_loss_and_the_first_tasks_ranking(run: Run) -> None:
    curve = pd.read_csv(run.directory / "support_curve.csv").set_index(["model", "n"])
    split = run.protocol.evaluation_splits[-1]
    losses = []
    for task, folder in zip(TASKS, run.task_folders, strict=True):
        made = load_predictions(run.directory / folder / split.folder / "predictions.parquet")
        mine = made[made["model"] == "metaselector"]
        losses.append(logloss(mine["y"], mine["p"]) * len(mine))
        if task == TASKS[0]:
            rows, area = len(mine), auc(mine["y"], mine["p"])
    found = curve.loc[("metaselector", 5)]
    assert found["auc"] == area
    assert found["logloss"] == pytest.approx((losses[0] + 2 * losses[1]) / rows, abs=1e-6)


def test_analyse_says_that_it_is_for_one_task(run: Run) -> None:
    with pytest.raises(UserError, match=r"one task.*watched, liked"):
        analyse(run, Silent())


def test_the_page_has_every_table_and_users_of_all_tasks(run: Run, tmp_path: Path) -> None:
    explore(run, Silent())
    write_page([run.directory], tmp_path / "page.html", {})
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    cold = run.config.protocol == "cold"
    expected = ["all tasks"]
    for task in TASKS:
        names = ["all support sizes", "2 support rows", "5 support rows"] if cold else [""]
        expected += [", ".join(filter(None, (f"task {task}", name))) for name in names]
    assert re.findall("<caption>Results, (.*)</caption>", text) == expected
    assert text.count("Adapting on few rows") == 1
    found = users_of(run.directory)
    assert found["about"]["labels"] == list(TASKS)
    folder = run.directory / "task-liked" / run.protocol.evaluation_splits[-1].folder
    liked = load_predictions(folder / "predictions.parquet").query("model == 'metaselector'")
    shown = {
        user["name"]: [
            p / 10_000
            for task, p in zip(user["test"][2], user["test"][4], strict=True)
            if task == "liked"
        ]
        for user in found["users"]
    }
    for name, mine in liked.groupby("user"):
        assert shown[name] == pytest.approx(mine["p"].tolist(), abs=1e-4)

"""The data behind the user explorer, from a tiny run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.data.splitting.episodes import load_episodes
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.predictions import load_predictions
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.variants import make_adaptation
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.explore import explore
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

SUPPORT = 5
SETTINGS = f"""
threads: 1
seeds: [3, 0]
base_models: {{lr: {{pretrain: {{epochs: 1}}}}, fm: {{pretrain: {{epochs: 1}}}}}}
adapt: {{support_size: {SUPPORT}, inner_lr_phi: 10.0}}
meta_train: {{epochs: 1}}
paper: {{epochs: 1}}
selector: {{epochs: 1}}
evaluate: {{resamples: 2}}
"""
SIMPLE = {name: make for name, make in COMBINERS.items() if name not in OPTIONAL}
"""Combiners that take no time."""


class Counted(Silent):
    """Counts what was done before."""

    def __init__(self) -> None:
        self.times = 0

    def skipped(self, description: str) -> None:
        self.times += 1


@pytest.fixture(scope="module")
def run(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("explore")
    settings = folder / "settings.yaml"
    settings.write_text(SETTINGS)
    run = Run(folder / "run", load_config(settings))
    prepare_run(run, write_world(folder / "raw"), folder)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
        evaluate(run, Silent())
    explore(run, Silent())
    return run


def table(run: Run, name: str) -> pd.DataFrame:
    return pd.read_parquet(run.directory / "explore" / f"{name}.parquet")


def test_the_last_step_weighs_as_evaluation_did(run: Run) -> None:
    saved = pd.read_parquet(run.directory / "weights.parquet")
    saved = saved[(saved["seed"] == 3) & (saved["model"] == "metaselector")]
    expected = saved.groupby(["user", "base_model"])["weight"].mean().unstack()
    steps = table(run, "steps")
    last = steps[steps["step"] == run.config.adapt.steps].set_index("user")
    found = last[["weight_lr", "weight_fm"]].loc[expected.index]
    np.testing.assert_allclose(found, expected[["lr", "fm"]], atol=1e-6)
    first = steps[steps["step"] == 0].set_index("user").loc[expected.index]
    assert (first[[f"moved_{name}" for name in ("selector", "lr", "fm")]] == 0).all(axis=None)
    assert (last[[f"moved_{name}" for name in ("selector", "lr", "fm")]] > 0).all(axis=None)
    # Adapting does something that the comparison could miss.
    assert (first["weight_lr"] - last.loc[expected.index, "weight_lr"]).abs().max() > 1e-4


def test_users_together_are_as_each_alone(run: Run) -> None:
    learned = run.checkpoints.load_learned("metaselector", 0)
    mixture = learned.attach(run.checkpoints.load_mixture("full", 0)).double()
    alpha = {name: rate.double() for name, rate in learned.alpha.items()}
    adaptation = make_adaptation("metaselector", mixture, run.config)
    rows = run.protocol.evaluation_splits[-1].test.some(np.arange(4))
    # Of unequal length: the third has two support rows, the last none.
    support = rows.support.copy()
    support[2, :-2], support[3] = -1, -1
    rows = replace(rows, support=support)
    batch = load_episodes(run.dataset, rows).to("cpu", dtype=next(mixture.parameters()).dtype)
    tasks = run.dataset.schema.tasks
    model = AdaptedModel.of_settings(mixture, alpha, adaptation, tasks, run.config.adapt)
    together = model.trace(batch)
    for user in range(4):
        one = load_episodes(run.dataset, rows.some(np.array([user]))).to(
            "cpu", batch.query.mask.dtype
        )
        alone = model.trace(one)
        for mine, theirs in (
            (together.support_loss, alone.support_loss),
            (together.weights, alone.weights),
            *((together.moved[group], alone.moved[group]) for group in together.moved),
        ):
            np.testing.assert_allclose(mine[:, user], theirs[:, 0], rtol=1e-9, atol=1e-12)
    assert np.isnan(together.support_loss[:, 3]).all()
    assert (together.moved["fm"][:, 3] == 0).all()
    assert (together.moved["fm"][1:, 2] > 0).all()


def test_rows_and_losses_are_those_of_evaluation(run: Run) -> None:
    saved = load_predictions(run.directory / "predictions.parquet")
    saved = saved[saved["seed"] == 3]
    test, losses = table(run, "test"), table(run, "losses")
    rows = run.protocol.evaluation_splits[-1].test.flat("query")[0]
    sources = run.dataset.source_rows[rows]
    for model in ("lr", "fm", "metaselector"):
        mine = saved[saved["model"] == model].set_index("row").loc[sources]
        assert test["user"].tolist() == mine["user"].tolist()
        assert test["y"].tolist() == mine["y"].tolist()
        assert test[f"p_{model}"].tolist() == mine["p"].tolist()
    for model in ("lr", "uniform", "sample-selector", "metaselector", "oracle-user"):
        mine = saved[saved["model"] == model]
        expected = pd.Series(row_logloss(mine["y"], mine["p"])).groupby(mine["user"].array).mean()
        found = losses[losses["model"] == model].set_index("user")["logloss"]
        np.testing.assert_allclose(found.loc[expected.index], expected, rtol=1e-12)
    assert (losses["rows"] == 3).all()  # a tenth of 30
    assert set(test["title"]) <= {f"Film {i}" for i in range(25)}
    assert (test["item"].str[1:] == test["title"].str[5:]).all()


def test_the_support_is_what_comes_just_before(run: Run) -> None:
    support, test = table(run, "support"), table(run, "test")
    assert support.groupby("user").size().unique().tolist() == [SUPPORT]
    last = support.groupby("user")["timestamp"].max()
    first = test.groupby("user")["timestamp"].min()
    assert (first - last == 90_000).all()  # the world's users have a row every 90,000 seconds


def test_computed_once_until_something_changes(run: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path / "run", run.config)
    shutil.copytree(run.directory, copy.directory)
    done = Counted()
    explore(copy, done)
    assert done.times == 1
    path = copy.directory / "predictions.parquet"
    pd.read_parquet(path).assign(p=0.5).to_parquet(path)
    explore(copy, done)
    assert done.times == 1, "the results are others"
    assert (table(copy, "test")["p_fm"] == 0.5).all()
    explore(copy, done)
    assert done.times == 2
    explore(copy, done, most_users=7)
    assert done.times == 2, "other users are asked for"
    about = json.loads((copy.directory / "explore" / "about.json").read_text())
    for name in ("support", "test", "losses", "steps"):
        users = table(copy, name)["user"].unique()
        assert len(users) == 7
        assert {users[0], users[-1]} == {run.dataset.user_names[0], run.dataset.user_names[-1]}
    assert about["users"] == 40


def test_without_checkpoints_only_the_steps_are_missing(run: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path / "run", run.config)
    shutil.copytree(run.directory, copy.directory)
    shutil.rmtree(copy.directory / "explore")
    shutil.move(copy.directory / "checkpoints", tmp_path / "checkpoints")
    explore(copy, Silent())
    about = json.loads((copy.directory / "explore" / "about.json").read_text())
    assert "checkpoints" in about["without_steps"]
    assert table(copy, "steps").empty
    pd.testing.assert_frame_equal(table(copy, "test"), table(run, "test"))
    shutil.move(tmp_path / "checkpoints", copy.directory / "checkpoints")
    explore(copy, Silent())
    pd.testing.assert_frame_equal(table(copy, "steps"), table(run, "steps"))


def test_predictions_of_other_rows_are_refused(run: Run, tmp_path: Path) -> None:
    copy = Run(tmp_path / "run", run.config)
    shutil.copytree(run.directory, copy.directory)
    path = copy.directory / "predictions.parquet"
    pd.read_parquet(path).query("row % 2 == 0").to_parquet(path)
    with pytest.raises(
        DataError, match=r"predictions.parquet: has different rows .* evaluate` again"
    ):
        explore(copy, Silent())
    path.unlink()
    with pytest.raises(DataError, match=r"predictions.parquet: no predictions here; run"):
        explore(copy, Silent())

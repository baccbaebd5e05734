"""Runs whose base models teach each other: checkpoints, refusals, and no leaks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.common.progress import Silent
from metaselector.config import Config, change_config, load_config
from metaselector.data.planted import planted_world
from metaselector.inference.trained import TrainedModel
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.runs.tuning.search import tune
from metaselector.runs.tuning.trial import valid_losses
from metaselector.training.checkpoint import checkpoint_path, read_checkpoint
from metaselector.training.peer_learning import co_training
from metaselector.training.peer_learning.pairs import Pairs
from tests.runs.notes import Notes

WriteWorld = Callable[..., Path]
FIELDS = {"lr": ["user", "item"], "fm": ["item", "genres"], "deepfm": ["age", "genres"]}
CONFIG = load_config(
    overrides=(
        *(f"base_models.{name}.pretrain.epochs=2" for name in ("lr", "fm", "deepfm")),
        "base_models.deepfm.options.hidden_sizes=[4]",
        "base_models.trees.estimator=sklearn.tree.DecisionTreeClassifier",
        "peer_learning.confidence=0.5",
        "peer_learning.rounds=1",
        "threads=1",
    )
)
NETWORKS = ("lr", "fm", "deepfm")
_USED = {name: m for name, m in CONFIG.base_models.items() if name in (*NETWORKS, "trees")}
CONFIG = CONFIG.model_copy(update={"base_models": _USED})
VIEWS = {"strategy": "co-training", "views": "fields", "fields": FIELDS}
WINDOWS = ("early", "train", "full")


def changed(**peer_learning: Any) -> Config:
    return change_config(CONFIG, {"peer_learning": peer_learning})


@pytest.fixture
def new_run(write_world: WriteWorld, tmp_path: Path) -> Callable[..., Run]:
    """Makes a run whose data is prepared."""

    def make(config: Config, name: str = "run", flip: Any = None) -> Run:
        run = Run(tmp_path / name, config)
        prepare_run(run, write_world(tmp_path / f"raw {name}", flip), tmp_path)
        return run

    return make


def learned(run: Run, name: str, window: str) -> dict[str, torch.Tensor]:
    return read_checkpoint(checkpoint_path(run.directory, 0, f"base-{name}-{window}")).tensors


def same(a: Run, b: Run, name: str, window: str) -> bool:
    ours, theirs = learned(a, name, window), learned(b, name, window)
    return all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_mutual_without_weight_is_independent(new_run: Callable[..., Run]) -> None:
    alone, silent, mutual = (
        new_run(config, name)
        for name, config in {
            "alone": CONFIG,
            "silent": changed(strategy="mutual", weight=0),
            "mutual": changed(strategy="mutual", warm_up=0),
        }.items()
    )
    for run in (alone, silent, mutual):
        pretrain_base_models(run, Silent())
    for name in (*NETWORKS, "trees"):
        for window in WINDOWS:
            assert same(alone, silent, name, window)
            assert same(alone, mutual, name, window) == (name == "trees")
    lines = mutual.checkpoints.base_record("lr", "train", 0).history
    assert list(lines[0]) == ["epoch", "train_loss", "peers_loss", "valid_loss"]


def test_what_is_taught_depends_on_its_teachers(new_run: Callable[..., Run]) -> None:
    run = new_run(changed(strategy="mutual"))
    pretrain_base_models(run, Silent(), ("early",))
    notes = Notes()
    pretrain_base_models(Run(run.directory, run.config), notes, ("early",))
    assert notes.skips == [
        "seed 0: pretrain lr + fm + deepfm (early)",
        "seed 0: pretrain trees (early)",
    ]
    path = checkpoint_path(run.directory, 0, "base-lr-early")
    made_with = read_checkpoint(path).settings
    assert made_with["peer_learning"] == {"strategy": "mutual", "warm_up": 1, "weight": 1.0}
    assert set(made_with["base_models"]) == set(NETWORKS)
    assert not list(run.directory.rglob("*.unfinished"))
    for key, value in {
        "base_models.fm.pretrain.learning_rate": 0.01,
        "peer_learning.weight": 2.0,
        "peer_learning.strategy": "independent",
    }.items():
        other = Run(run.directory, change_config(run.config, {key: value}))
        assert not other.checkpoints.has_base("lr", "early", 0), key
        with pytest.raises(CheckpointError, match="was trained with different settings"):
            other.checkpoints.load_base("lr", "early", 0)
        assert other.checkpoints.has_base("trees", "early", 0)
    of_rounds = Run(run.directory, change_config(run.config, {"peer_learning.rounds": 7}))
    assert of_rounds.checkpoints.has_base("lr", "early", 0)  # mutual has none


def test_independent_checkpoints_do_not_know_of_teaching(new_run: Callable[..., Run]) -> None:
    made_with = new_run(CONFIG).checkpoints.base_file("lr", "train", 0)[1]
    assert "peer_learning" not in made_with
    assert set(made_with["base_models"]) == {"lr"}


@pytest.mark.parametrize(
    "peer_learning",
    [{"strategy": "co-training"}, {"strategy": "co-training", "views": "rows"}, VIEWS],
)
def test_rounds_are_kept_and_nothing_sees_the_test(
    new_run: Callable[..., Run], peer_learning: dict[str, Any]
) -> None:
    def flip(ratings: np.ndarray) -> np.ndarray:
        late = np.arange(ratings.shape[1]) >= 27
        return np.where(late, 6 - ratings, ratings)

    plain, other = (
        new_run(changed(**peer_learning), name, change)
        for name, change in (("plain", None), ("other", flip))
    )
    assert not np.array_equal(plain.dataset.labels, other.dataset.labels)
    for run in (plain, other):
        pretrain_base_models(run, Silent())
    for name in NETWORKS:
        for window in WINDOWS:
            assert same(plain, other, name, window)
        history = pd.DataFrame(plain.checkpoints.base_record(name, "train", 0).history)
        assert set(history["round"]) == {0, 1}
        assert history.loc[history["round"] == 1, "pairs"].gt(0).all()
        full = pd.DataFrame(plain.checkpoints.base_record(name, "full", 0).history)
        made = plain.checkpoints.base_record(name, "train", 0)
        kept = history.loc[history["epoch"] == made.epochs, "round"].iloc[0]
        assert set(full["round"]) == set(range(kept + 1))


def test_new_users_are_never_in_a_pair(
    new_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"protocol": "cold", "cold.support_sizes": [5]}
    config = change_config(changed(strategy="co-training"), settings)
    models = {name: config.base_models[name] for name in ("lr", "fm")}
    run = new_run(config.model_copy(update={"base_models": models}))
    contexts: list[np.ndarray] = []
    draw = co_training.draw

    def watched(*arguments: Any) -> Pairs:
        found = draw(*arguments)
        contexts.append(found.context)
        return found

    monkeypatch.setattr(co_training, "draw", watched)
    pretrain_base_models(run, Silent(), ("train",))
    known = run.protocol.fitting_rows("train")
    assert contexts
    assert len(contexts[0])
    assert all(np.isin(each, known).all() for each in contexts)
    assert not np.isin(run.protocol.stopping_rows(), np.concatenate(contexts)).any()


def test_views_are_evaluated_and_saved(new_run: Callable[..., Run], tmp_path: Path) -> None:
    small = {
        "selector.hidden_size": 4,
        "adapt.support_size": 5,
        "meta_train.epochs": 1,
        "selector.epochs": 1,
        "paper.epochs": 1,
        "evaluate.resamples": 2,
    }
    config = change_config(changed(**VIEWS), small)
    models = {name: config.base_models[name] for name in NETWORKS}
    run = new_run(config.model_copy(update={"base_models": models}))
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    evaluate(run, Silent())
    history = pd.read_csv(run.directory / "history.csv")
    of_lr = history[(history["model"] == "lr") & (history["stage"] == "pretrain-train")]
    assert set(of_lr["round"]) == {0.0, 1.0}
    trained = TrainedModel.of_run(run)
    trained.save(tmp_path / "saved")
    again = TrainedModel.load(tmp_path / "saved")
    batch = run.dataset.batch(np.arange(5))
    for ours, theirs in zip(trained.mixture(batch), again.mixture(batch), strict=True):
        assert torch.equal(ours, theirs)


def test_what_is_taught_is_tuned_beside_its_teachers(new_run: Callable[..., Run]) -> None:
    config = changed(strategy="mutual", warm_up=0)
    run = new_run(config)
    pretrain_base_models(run, Silent(), ("train",))
    made = run.checkpoints.base_record("lr", "train", 0)
    (loss,) = valid_losses(Run(run.directory, config), "lr", config)
    assert loss == min(line["valid_loss"] for line in made.history)
    (other,) = valid_losses(
        run, "lr", change_config(config, {"base_models.fm.pretrain.learning_rate": 0.1})
    )
    assert other != loss


def test_teaching_can_be_tuned(new_run: Callable[..., Run], tmp_path: Path) -> None:
    run = new_run(changed(strategy="mutual", warm_up=0))
    space = tmp_path / "space.yaml"
    space.write_text("peer_learning.weight: {choices: [0.0, 2.0]}\n")
    found = tune(run, space, "lr", 3, Silent())
    assert pd.read_csv(found.trials)["peer_learning.weight"].nunique() == 2
    apart = Run(run.directory, change_config(run.config, {"peer_learning.strategy": "independent"}))
    with pytest.raises(ConfigError, match="changes nothing for --target lr"):
        tune(apart, space, "lr", 1, Silent())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peer_learning": {**VIEWS, "fields": FIELDS | {"fn": ["item"]}}}, "did you mean 'fm'"),
        (
            {"peer_learning": {**VIEWS, "fields": FIELDS | {"fm": ["genre"]}}},
            "did you mean 'genres'",
        ),
        ({"base_models.fm.pretrain.batch_size": 7}, "batch_size, but it is 512 for lr, 7 for fm"),
    ],
)
def test_settings_that_the_data_refuse(
    new_run: Callable[..., Run], changes: dict[str, Any], message: str
) -> None:
    run = new_run(change_config(changed(strategy="mutual"), changes))
    with pytest.raises(ConfigError, match=message):
        pretrain_base_models(run, Silent(), ("early",))
    assert not (run.directory / "checkpoints").exists()


def test_one_model_has_nobody_to_learn_from(new_run: Callable[..., Run]) -> None:
    config = changed(strategy="mutual")
    models = {name: config.base_models[name] for name in ("lr", "trees")}
    run = new_run(config.model_copy(update={"base_models": models}))
    with pytest.raises(ConfigError, match=r"needs at least two .* found lr; scores and estim"):
        pretrain_base_models(run, Silent())


def test_data_without_items(tmp_path: Path) -> None:
    run = Run(tmp_path, changed(strategy="co-training"))
    world = planted_world(4, 20, 20, np.random.default_rng(0)).dataset
    run.__dict__["dataset"] = world
    with pytest.raises(ConfigError, match="the data has no items"):
        pretrain_base_models(run, Silent())


@pytest.mark.parametrize(
    ("peer_learning", "message"),
    [
        ({"strategy": "mutal"}, "'mutal' is not known; did you mean 'mutual'"),
        ({"views": "fields"}, "views=fields and fields go together"),
        ({"fields": {"lr": ["user"]}}, "views=fields and fields go together"),
        ({"views": "fields", "fields": {"lr": []}}, "every base model needs at least one field"),
        ({"confidence": 0.4}, "peer_learning.confidence: .* greater than or equal to 0.5"),
        ({"wieght": 1}, "did you mean 'weight'"),
    ],
)
def test_settings_that_cannot_be(peer_learning: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(**peer_learning)

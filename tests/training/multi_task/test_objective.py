"""Training a model of several tasks."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import LR, MultiTaskModel, Task, TaskLosses
from base_models.contract import Batch, observed_losses
from metaselector.common.errors import ConfigError
from metaselector.common.progress import Silent
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.training.multi_task.metrics import task_metrics
from metaselector.training.multi_task.objective import TaskObjective
from metaselector.training.objective import make_objective
from metaselector.training.predict import labels_for, predict
from metaselector.training.pretrain import pretrain

WORDS, N = 6, 120
TRAIN, VALID = np.arange(90), np.arange(90, N)
TASKS = (Task(), Task(after=0), Task(numeric=True))
NAMES = ("watched", "liked", "stars")
CONFIG = PretrainConfig(learning_rate=0.1, weight_decay=0, batch_size=16, epochs=20)
GROUPS = {
    "embedding": ("table",),
    "shared": ("bottom.weight", "bottom.bias"),
    **{f"task-{t}": (f"towers.{t}.weight", f"towers.{t}.bias") for t in range(3)},
}


class Tiny(MultiTaskModel):
    """Shared embeddings and bottom, a linear tower a task."""

    tables = ("table",)
    groups: dict[str, tuple[str, ...]] = GROUPS

    def __init__(self, num_ids: int, slot_fields: Sequence[int], tasks: Sequence[Task]) -> None:
        super().__init__(num_ids, slot_fields, tasks)
        self.table = nn.Parameter(torch.randn(num_ids, 4))
        self.bottom = nn.Linear(4, 8)
        self.towers = nn.ModuleList(nn.Linear(8, 1) for _ in tasks)

    def forward(self, batch: Batch) -> Tensor:
        ids, values = batch
        pooled = (F.embedding(ids, self.table) * values[..., None]).sum(-2)  # [..., B, 4]
        hidden = self.bottom(pooled).relu()
        return torch.cat([tower(hidden) for tower in self.towers], dim=-1)  # [..., B, T]

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        return self.groups


def world(labels: np.ndarray, tasks: tuple[str, ...]) -> EncodedDataset:
    """One user, 120 rows of one word each."""
    words = tuple(str(i) for i in range(WORDS))
    dataset = EncodedDataset.of_rows(
        Schema(
            dataset="tiny",
            tasks=tasks,
            label_threshold=1,
            history_length=0,
            windows=(60, 80, 90),
            fields=(Field(name="word", kind="categorical", slots=1, first_id=1, vocabulary=words),),
        ),
        cells=(2 + np.arange(N)[:, None] % WORDS).astype(np.int32),
        labels=np.zeros(N, dtype=np.float32),
        user_offsets=np.array([0, N]),
        user_names=("ann",),
    )
    return replace(dataset, task_labels=labels.astype(np.float32))


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    """watched: the word is not 0; liked, where watched: it is even; stars: its half."""
    word = np.arange(N) % WORDS
    watched, liked = word > 0, np.where(word > 0, word % 2 == 0, np.nan)
    stars = np.where(np.arange(N) % 3 > 0, word / 2, np.nan)
    return world(np.stack([watched, liked, stars], axis=1), NAMES)


def new_model(dataset: EncodedDataset, tasks: Sequence[Task] = TASKS) -> Tiny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny(dataset.schema.num_ids, dataset.schema.slot_fields, tasks)


def fit(
    model: nn.Module, dataset: EncodedDataset, config: PretrainConfig = CONFIG, **options: Any
) -> Any:
    arguments: dict[str, Any] = {"valid": VALID, "epochs": config.epochs} | options
    return pretrain(
        model,
        dataset,
        TRAIN,
        config,
        np.random.default_rng(0),
        description="fit",
        progress=Silent(),
        **arguments,
    )


def changed(**settings: Any) -> PretrainConfig:
    return PretrainConfig.model_validate(CONFIG.model_dump() | settings)


BALANCES: dict[str, PretrainConfig] = {
    "sum": CONFIG,
    "weighted": changed(task_weights={"watched": 1.0, "liked": 2.0, "stars": 0.5}),
    "decaying": changed(balance="decaying", task_decay={"stars": 0.9}),
    "uncertainty": changed(balance="uncertainty"),
}


@pytest.mark.parametrize("balance", BALANCES)
def test_every_task_of_a_separable_world_is_learned(dataset: EncodedDataset, balance: str) -> None:
    model = new_model(dataset)
    made = fit(model, dataset, BALANCES[balance])
    outputs = predict(model, dataset, VALID)
    assert outputs.shape == (len(VALID), 3)
    watched, liked, stars = task_metrics(
        outputs, torch.from_numpy(dataset.task_labels[VALID]), [False, False, True]
    )
    assert watched.auc == liked.auc == 1
    assert watched.logloss < 0.1
    assert stars.rmse < 0.4
    kept = made.history[made.epochs - 1]
    assert kept["valid_auc_liked"] == 1
    assert kept["valid_loss_liked"] == liked.logloss
    assert kept["valid_rows_liked"] == liked.rows == 25
    assert math.isnan(kept["valid_auc_stars"])


def test_training_stops_by_the_weighted_losses_of_predictions(dataset: EncodedDataset) -> None:
    weights = {"watched": 1.0, "liked": 2.0, "stars": 0.5}
    made = fit(new_model(dataset), dataset, changed(task_weights=weights, epochs=4))
    for line in made.history:
        expected = sum(w * line[f"valid_loss_{name}"] for name, w in weights.items())
        assert line["valid_loss"] == pytest.approx(expected)
    assert made.epochs == min(made.history, key=lambda line: line["valid_loss"])["epoch"]


def test_a_penalty_is_trained_on_but_not_judged_by(dataset: EncodedDataset) -> None:
    class Penalised(Tiny):
        def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
            found = super().losses(batch, labels)
            return found._replace(penalty=100 * (self.table**2).sum())

    plain = new_model(dataset)
    model = Penalised(dataset.schema.num_ids, dataset.schema.slot_fields, TASKS)
    model.load_state_dict(plain.state_dict())
    fit(plain, dataset, valid=None, epochs=5)
    made = fit(model, dataset, epochs=5)
    assert model.table.norm() < 0.5 * plain.table.norm()
    assert all(line["valid_loss"] < 20 for line in made.history)


def test_one_task_with_a_mask_is_plain_training(dataset: EncodedDataset) -> None:
    """A model of one task in both guises takes the same steps."""
    labels = (np.arange(N) % 2 == 0)[:, None]
    single = world(labels, ("watched",))

    class Several(LR):
        tasks = (Task(),)

        def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
            outputs = self(batch)[..., None]
            return TaskLosses(observed_losses(outputs, labels, self.tasks), outputs.new_zeros(()))

        def parameter_groups(self) -> dict[str, tuple[str, ...]]:
            return {"shared": tuple(name for name, _ in self.named_parameters())}

    models = [kind(single.schema.num_ids, single.schema.slot_fields) for kind in (LR, Several)]
    for model in models:
        fit(model, single, valid=None, epochs=3)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_model_of_one_task_learns_the_first(dataset: EncodedDataset) -> None:
    model = LR(dataset.schema.num_ids, dataset.schema.slot_fields)
    fit(model, dataset)
    assert labels_for(model, dataset, VALID).shape == (len(VALID),)
    expected = torch.from_numpy(dataset.task_labels[VALID, 0])
    assert ((predict(model, dataset, VALID) > 0) == expected.bool()).all()


# Rates


def test_every_group_has_a_rate_of_its_own(dataset: EncodedDataset) -> None:
    """Adam's first step changes every weight by its rate, as its gradient is not 0."""
    rates = {"embedding": 0.3, "shared": 0.01, "watched": 0.02, "liked": 0.1, "stars": 0.04}
    config = changed(
        embedding_learning_rate=rates["embedding"],
        shared_learning_rate=rates["shared"],
        task_learning_rates={"watched": rates["watched"], "stars": rates["stars"]},
        batch_size=len(TRAIN),
    )
    model = new_model(dataset)
    before = copy.deepcopy(model.state_dict())
    fit(model, dataset, config, valid=None, epochs=1)
    groups = {"watched": "task-0", "liked": "task-1", "stars": "task-2"}
    for name, rate in rates.items():
        for parameter in GROUPS[groups.get(name, name)]:
            change = (model.state_dict()[parameter] - before[parameter]).abs().max().item()
            assert change == pytest.approx(rate, rel=1e-3), parameter


def test_variances_are_trained_without_decay(dataset: EncodedDataset) -> None:
    objective = make_objective(
        new_model(dataset), dataset, changed(balance="uncertainty", weight_decay=0.1), "fit"
    )
    *_, last = objective.optimizer_groups()
    assert [p.shape for p in last["params"]] == [(3,)]
    assert last["weight_decay"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shared": ("bottom.weight",)}, "'bottom.bias' is in none; the groups are embedding,"),
        ({"embedding": ("table", "bottom.bias")}, "'bottom.bias' is named twice, in embedding and"),
        ({"embedding": ("table", "table")}, "'table' is named twice, in embedding;"),
        ({"embedding": ("tabel",)}, "no parameter 'tabel'; did you mean 'table'"),
        ({"task-3": ()}, "no group may be called 'task-3'; the groups are embedding, shared, task"),
    ],
)
def test_groups_that_are_no_partition(
    dataset: EncodedDataset,
    change: dict[str, tuple[str, ...]],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Tiny, "groups", GROUPS | change)
    with pytest.raises(ConfigError, match=rf"^fit: Tiny.parameter_groups\(\): {message}"):
        fit(new_model(dataset), dataset)


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task_weights": {"watched": 1.0}}, "task_weights: names 1 of 3 tasks; add liked, stars"),
        ({"task_weights": {"like": 1.0}}, "task_weights.like: the data has no such task; did you"),
        ({"task_learning_rates": {"star": 1.0}}, "task_learning_rates.star: the data has no such"),
        (
            {"balance": "decaying", "task_decay": {"watch": 0.5}},
            "task_decay.watch: the data has no such task; did you mean 'watched'",
        ),
    ],
)
def test_tasks_that_the_data_has_not(
    dataset: EncodedDataset, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(new_model(dataset), dataset, changed(**settings))


@pytest.mark.parametrize(
    "settings", [{"task_weights": {"watched": 1.0}}, {"balance": "uncertainty"}]
)
def test_one_task_takes_no_settings_of_several(
    dataset: EncodedDataset, settings: dict[str, Any]
) -> None:
    model = LR(dataset.schema.num_ids, dataset.schema.slot_fields)
    with pytest.raises(ConfigError, match=f"pretrain.{min(settings)}: this model has one task"):
        fit(model, dataset, changed(**settings))


def test_a_model_of_other_tasks(dataset: EncodedDataset) -> None:
    message = r"the model has 2 tasks, the data 3 \(watched, liked, stars\)"
    with pytest.raises(ConfigError, match=message):
        fit(new_model(dataset, TASKS[:2]), dataset)


@pytest.mark.parametrize(
    "settings",
    [{"balance": "decaying"}, {"task_decay": {"a": 1.0}}, {"aggregator": "PCGrad"}],
)
def test_a_balance_and_what_it_needs_go_together(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="go together"):
        changed(**settings)


def test_valid_rows_that_observe_nothing(dataset: EncodedDataset) -> None:
    unseen = replace(dataset, task_labels=np.full((N, 3), np.nan, dtype=np.float32))
    with pytest.raises(ConfigError, match="infinite or no number"):
        fit(new_model(dataset), unseen)


def test_the_optimizer_gets_every_parameter_once(dataset: EncodedDataset) -> None:
    objective = TaskObjective(new_model(dataset), NAMES, CONFIG, "fit")
    groups = objective.optimizer_groups()
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in objective.model.parameters())
    assert len(set(ids)) == len(ids)


def test_torchjd_trains(dataset: EncodedDataset) -> None:
    pytest.importorskip("torchjd")
    model = new_model(dataset)
    fit(model, dataset, changed(balance="aggregator", aggregator="PCGrad"))
    labels = torch.from_numpy(dataset.task_labels[VALID])
    watched, liked, stars = task_metrics(
        predict(model, dataset, VALID), labels, [False, False, True]
    )
    assert watched.auc == liked.auc == 1
    assert stars.rmse < 0.4

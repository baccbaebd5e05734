"""Settings of multi-task training: learning rates, parameter groups, weights and balance."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from base_models import LR
from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.multi_task.objective import TaskObjective
from metaselector.training.objective import make_objective

from .conftest import (
    CONFIG,
    GROUPS,
    NAMES,
    TASKS,
    TRAIN,
    Tiny,
    changed,
    fit,
    new_model,
)

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
        ({"shared": ("bottom.weight",)}, "'bottom.bias' is in no group; the groups are"),
        (
            {"embedding": ("table", "bottom.bias")},
            "'bottom.bias' is listed twice, in",
        ),
        ({"embedding": ("table", "table")}, "'table' is listed twice, in embedding;"),
        ({"embedding": ("tabel",)}, "no parameter 'tabel'; did you mean 'table'"),
        ({"task-3": ()}, "unknown group 'task-3'; the groups are embedding, shared, task"),
    ],
)
def test_groups_must_partition_the_parameters(
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
        ({"task_weights": {"watched": 1.0}}, "task_weights: lists 1 of 3 tasks; add liked, stars"),
        ({"task_weights": {"like": 1.0}}, "task_weights.like: the data has no such task; did you"),
        ({"task_learning_rates": {"star": 1.0}}, "task_learning_rates.star: the data has no such"),
        (
            {"balance": "decaying", "task_decay": {"watch": 0.5}},
            "task_decay.watch: the data has no such task; did you mean 'watched'",
        ),
    ],
)
def test_tasks_that_the_data_lacks(
    dataset: EncodedDataset, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(new_model(dataset), dataset, changed(**settings))


@pytest.mark.parametrize(
    "settings", [{"task_weights": {"watched": 1.0}}, {"balance": "uncertainty"}]
)
def test_a_single_task_model_refuses_multi_task_settings(
    dataset: EncodedDataset, settings: dict[str, Any]
) -> None:
    model = LR(dataset.schema.num_ids, dataset.schema.slot_fields)
    with pytest.raises(ConfigError, match=f"{min(settings)}: this model has a single task"):
        fit(model, dataset, changed(**settings))


def test_a_model_of_other_tasks(dataset: EncodedDataset) -> None:
    message = r"the model has 2 tasks, but the data has 3 \(watched, liked, stars\)"
    with pytest.raises(ConfigError, match=message):
        fit(new_model(dataset, TASKS[:2]), dataset)


@pytest.mark.parametrize(
    "settings",
    [{"balance": "decaying"}, {"task_decay": {"a": 1.0}}, {"aggregator": "PCGrad"}],
)
def test_a_balance_and_what_it_needs_go_together(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="go together"):
        changed(**settings)


def test_the_optimizer_gets_every_parameter_once(dataset: EncodedDataset) -> None:
    objective = TaskObjective(new_model(dataset), NAMES, CONFIG, "fit")
    groups = objective.optimizer_groups()
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in objective.model.parameters())
    assert len(set(ids)) == len(ids)

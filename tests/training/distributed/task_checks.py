"""Steps of multi-task models, for ``checked.py``: click, and purchase where there is a click."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import torch
from torch import Tensor, nn

from base_models import AITM, ESMM, PLE, RnR, SharedBottom, Task, TaskLosses
from base_models.contract import Batch
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.training.freezing import Freezing
from metaselector.training.pretrain import _Pretraining

TASKS = (Task(), Task(after=0))
NAMES = ("click", "buy")
ROWS = 64


class Summed(SharedBottom):
    """Its losses are sums, so those of some rows are not the share that `counted` tells."""

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        found = super().losses(batch, labels)
        return TaskLosses(found.tasks * self.counted(labels).sum(0), found.penalty)


MODELS: Mapping[str, Callable[[int, tuple[int, ...]], nn.Module]] = {
    "shared-bottom": lambda ids, slots: SharedBottom(ids, slots, TASKS),
    "ple": lambda ids, slots: PLE(ids, slots, TASKS),
    "esmm": lambda ids, slots: ESMM(ids, slots, TASKS),
    "aitm": lambda ids, slots: AITM(ids, slots, TASKS),
    "rnr": lambda ids, slots: RnR(ids, slots, TASKS, 0, 1, regularization=1.0),
    "summed": lambda ids, slots: Summed(ids, slots, TASKS),
}
SETTINGS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "weighted": {
        "task_weights": {"buy": 3.0, "click": 0.5},
        "task_decay": {"buy": 0.5},
        "balance": "decaying",
    },
    "uncertainty": {"balance": "uncertainty"},
    "pcgrad": {"balance": "aggregator", "aggregator": "PCGrad"},
}


def with_tasks(dataset: EncodedDataset) -> EncodedDataset:
    """Most rows have a click or none; some of the others are unknown, and so is the purchase."""
    generator = np.random.default_rng(5)
    click = generator.integers(0, 2, len(dataset.labels)).astype(float)
    click[40:64] = np.nan  # a whole share of some batches
    buy = np.where(click == 1, generator.integers(0, 2, len(click)), np.nan)
    buy[generator.random(len(buy)) < 0.1] = np.nan
    schema = dataset.schema.model_copy(update={"tasks": NAMES})
    labels = np.stack([click, buy], axis=1).astype(np.float32)
    return replace(dataset, schema=schema, task_labels=labels)


DATA = with_tasks(planted_world(4, 20, 8, np.random.default_rng(0)).dataset)


def learner(model: str, settings: str, rows: int) -> _Pretraining:
    schema = DATA.schema
    config = PretrainConfig(batch_size=rows, **SETTINGS[settings])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = MODELS[model](schema.num_ids, schema.slot_fields)
    freezing, generator = Freezing("", {}, (), None), np.random.default_rng(0)
    return _Pretraining(made, DATA, np.arange(ROWS), config, generator, None, freezing, "fit")


def task_step(model: str, settings: str, rows: int) -> dict[str, Tensor]:
    """Loss and gradients of the second epoch's first step."""
    made = learner(model, settings, rows)
    loss = made.gradients(made.begin(2)[0], 2)
    grads = {n: torch.zeros(1) if p.grad is None else p.grad for n, p in made.parameters.items()}
    return {"loss": torch.tensor([loss])} | grads


def computed_rows(model: str, settings: str) -> set[int]:
    """Numbers of rows, of a batch of 48, whose losses this worker computes."""
    made = learner(model, settings, 48)
    losses = made._model.losses
    with patch.object(made._model, "losses", Mock(wraps=losses)) as spy:
        made.gradients(made.begin(1)[0], 1)
    return {len(call.args[1]) for call in spy.call_args_list}


def checks() -> dict[str, Callable[[], dict[str, Tensor]]]:
    """Every model by itself, and every balance with one of them, on batches of any size."""
    cases = [(model, "plain", 48) for model in MODELS]
    cases += [("aitm", settings, rows) for settings in SETTINGS for rows in (1, 7, 64)]
    return {
        " ".join(map(str, ("step of", *case))): lambda case=case: task_step(*case) for case in cases
    }

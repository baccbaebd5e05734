"""A tiny multi-task model, and a world of one user with three tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import MultiTaskModel, Task
from base_models.contract import Batch
from metaselector.common.progress import Silent
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
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

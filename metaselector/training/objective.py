"""What a base model is trained on: the logloss of one task, or that of several."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.multi_task.objective import (
    TaskLosses,
    TaskObjective,
    has_tasks,
    refuse_task_settings,
)
from metaselector.training.predict import labels_for, logloss, predict


class Objective(Protocol):
    """What a model is trained on, and judged by."""

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All that is trained, as a torch optimizer takes it."""

    def losses(self, batch: Batch, labels: Tensor) -> Any:
        """The forward pass of one step, for :meth:`backward`."""

    def backward(self, found: Any, epoch: int) -> Tensor:
        """Make the gradients of one step; returns its loss, detached."""

    def validate(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> TaskLosses:
        """What the model's predictions of `rows` are worth."""


class _OneTask:
    """What a model of one task is trained on: its mean logloss."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self._model.parameters())}]

    def losses(self, batch: Batch, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(self._model(batch), labels)

    def backward(self, found: Tensor, epoch: int) -> Tensor:
        found.backward()
        return found.detach()

    def validate(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> TaskLosses:
        return TaskLosses(logloss(self._model, dataset, rows), {})


class _SeveralTasks(TaskObjective):
    """The same of a model of several tasks."""

    def validate(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> TaskLosses:
        outputs = predict(self.model, dataset, rows)
        return self.losses_of(outputs, labels_for(self.model, dataset, rows))


def make_objective(
    model: nn.Module, dataset: EncodedDataset, config: PretrainConfig, description: str
) -> Objective:
    """What `model` is trained on, by how many tasks it has; raises as :class:`TaskObjective`."""
    if has_tasks(model):
        return _SeveralTasks(model, dataset.schema.tasks, config, description)
    refuse_task_settings(config, description)
    return _OneTask(model)

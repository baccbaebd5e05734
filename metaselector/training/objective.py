"""Training objectives of base models: the logloss of one task, or a sum over several tasks."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.on_rows import outputs
from metaselector.training.distributed import workers
from metaselector.training.multi_task.objective import (
    TaskLosses,
    TaskObjective,
    has_tasks,
    refuse_task_settings,
)
from metaselector.training.predict import labels_for, logloss, predict


class Objective(Protocol):
    """A training objective with its validation metric."""

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All trained parameters, as groups for a torch optimizer."""

    def losses(self, batch: Batch, labels: Tensor) -> Any:
        """Forward pass of one step; pass the result to :meth:`backward`."""

    def backward(self, losses: Any, epoch: int) -> Tensor:
        """Compute the gradients of one step and return its loss, detached."""

    def adds_up(self, batch: Batch, labels: Tensor) -> bool:
        """Whether workers can share the rows of a batch; every worker tries it on this one."""

    def part(self, losses: Any, own: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """This worker's part of the loss of a batch; the mean over workers has its gradient.

        Args:
            losses: of this worker's rows.
            own: labels of those that count, possibly none.
            labels: of the whole batch.
        """

    def finish(self, loss: float) -> float:
        """Complete the gradients of a shared step, and return the loss of the whole batch.

        Args:
            loss: the mean of :meth:`part` over the workers.
        """

    def validate(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> TaskLosses:
        """Score the model's predictions of `rows`."""


class _OneTask:
    """Mean logloss of a single-task model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def optimizer_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self._model.parameters())}]

    def losses(self, batch: Batch, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs(self._model, batch), labels)

    def backward(self, losses: Tensor, epoch: int) -> Tensor:
        losses.backward()
        return losses.detach()

    def adds_up(self, batch: Batch, labels: Tensor) -> bool:
        return True

    def part(self, losses: Tensor, own: Tensor, labels: Tensor, epoch: int) -> Tensor:
        return losses * (len(own) / len(labels) * workers.count())

    def finish(self, loss: float) -> float:
        return loss

    def validate(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> TaskLosses:
        return TaskLosses(logloss(self._model, dataset.as_predicted, rows), {})


class _MultiTask(TaskObjective):
    """Objective of a multi-task model."""

    def validate(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> TaskLosses:
        outputs = predict(self.model, dataset.as_predicted, rows)
        return self.losses_of(outputs, labels_for(self.model, dataset, rows))


def make_objective(
    model: nn.Module, dataset: EncodedDataset, config: PretrainConfig, description: str
) -> Objective:
    """The objective of a single-task or multi-task `model`; raises as :class:`TaskObjective`."""
    if has_tasks(model):
        return _MultiTask(model, dataset.schema.tasks, config, description)
    refuse_task_settings(config, description)
    return _OneTask(model)

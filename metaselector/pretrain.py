"""Training base models on all users' rows of a window."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.adapt.intercept import Intercept
from metaselector.adapt.lookups import Lookups
from metaselector.data.batch import Batch
from metaselector.data.dataset import EncodedDataset
from metaselector.early_stopping import EarlyStopping
from metaselector.errors import ConfigError
from metaselector.freezing import Freezing
from metaselector.multi_task import (
    Judged,
    TaskObjective,
    has_tasks,
    refuse_task_settings,
)
from metaselector.progress import Progress
from metaselector.training_config import PretrainConfig


class Pretrained(NamedTuple):
    """How the training of a base model went.

    Attributes:
        epochs: passes over the rows behind the weights that were kept.
        history: per epoch ``epoch, train_loss, valid_loss``, mean logloss in nats; of a model of
            several tasks the sum of the tasks' losses, each times its weight, and also what
            :class:`metaselector.multi_task.Judged` has of each task.
        seconds: wall-clock time of the training.
    """

    epochs: int
    history: list[dict[str, Any]]
    seconds: float


PREDICTION_ROWS = 8192
"""Rows predicted at once: bounds memory, changes no number."""


def pretrain(
    model: nn.Module,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    config: PretrainConfig,
    generator: np.random.Generator,
    *,
    valid: NDArray[np.int64] | None,
    epochs: int,
    description: str,
    progress: Progress,
    freezing: Freezing | None = None,
) -> Pretrained:
    """Fit `model` to the labels of `rows` with Adam, in place.

    A model of several tasks learns all of the data's, any other the first one.

    Args:
        valid: rows whose loss decides when to stop; the weights of the best epoch are kept.
            None trains for exactly `epochs`, which is how a model is refitted.
        epochs: passes over `rows`, at most where `valid` is given.
        description: what the progress bar calls it.
        freezing: what is not trained; patience begins anew when the last of it thaws.

    Raises:
        ConfigError: the loss on `valid` is infinite or no number after every epoch; or model, data
            and settings differ in their tasks.
    """
    started = time.perf_counter()
    device = next(model.parameters()).device
    objective = make_objective(model, dataset, config, description)
    batch, labels = dataset.batch(rows).to(device), labels_for(model, dataset, rows).to(device)
    optimizer = torch.optim.Adam(
        objective.optimizer_groups(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    stopping = EarlyStopping(config.patience)
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    freezing = freezing or Freezing("", {}, (), None)
    with progress.task(description, epochs) as advance, torch.random.fork_rng():
        torch.manual_seed(int(generator.integers(2**31)))  # for dropout
        for epoch in range(1, epochs + 1):
            model.train()
            freezing.begin(epoch)
            losses: list[Tensor] = []
            for index in _shuffled(len(rows), config.batch_size, generator):
                chosen = index.to(device)
                part = Batch(*(slots.index_select(0, chosen) for slots in batch))
                with Intercept(Lookups().handlers):  # for their fast gradients
                    found = objective.losses(part, labels[chosen])
                optimizer.zero_grad(set_to_none=True)
                losses.append(objective.backward(found, epoch))
                optimizer.step()
            advance()
            judged = None if valid is None else objective.judge(dataset, valid)
            train_loss = torch.stack(losses).mean().item()
            valid_loss = None if judged is None else judged.loss
            history.append({"epoch": epoch, "train_loss": train_loss, "valid_loss": valid_loss})
            history[-1] |= {} if judged is None else judged.of_tasks
            if valid_loss is None:
                continue
            if stopping.improved(epoch, valid_loss):
                best = copy.deepcopy(model.state_dict())  # state_dict() aliases the weights
            elif stopping.exhausted(epoch) and epoch >= freezing.thawed + config.patience - 1:
                break
    freezing.end()
    model.eval()
    if valid is None:
        return Pretrained(epochs, history, time.perf_counter() - started)
    if not best:
        raise ConfigError(
            f"{description}: the valid logloss is infinite or no number after every epoch; lower "
            "the model's pretrain.learning_rate"
        )
    model.load_state_dict(best)
    return Pretrained(stopping.best_epoch, history, time.perf_counter() - started)


class Objective(Protocol):
    """What a model is trained on, and judged by."""

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """All that is trained, as a torch optimizer takes it."""

    def losses(self, batch: Batch, labels: Tensor) -> Any:
        """The forward pass of one step, for :meth:`backward`."""

    def backward(self, found: Any, epoch: int) -> Tensor:
        """Make the gradients of one step; returns its loss, detached."""

    def judge(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> Judged:
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

    def judge(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> Judged:
        return Judged(logloss(self._model, dataset, rows), {})


class _SeveralTasks(TaskObjective):
    """The same of a model of several tasks."""

    def judge(self, dataset: EncodedDataset, rows: NDArray[np.int64]) -> Judged:
        outputs = predict(self.model, dataset, rows)
        return self.judged(outputs, labels_for(self.model, dataset, rows))


def make_objective(
    model: nn.Module, dataset: EncodedDataset, config: PretrainConfig, description: str
) -> Objective:
    """What `model` is trained on, by how many tasks it has; raises as :class:`TaskObjective`."""
    if has_tasks(model):
        return _SeveralTasks(model, dataset.schema.tasks, config, description)
    refuse_task_settings(config, description)
    return _OneTask(model)


def labels_for(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> Tensor:
    """Labels that `model` learns: ``[n, T]`` with nan, or of the first task alone ``[n]``."""
    of_tasks = dataset.task_labels if has_tasks(model) else dataset.labels
    return torch.from_numpy(np.asarray(of_tasks[rows]))


def _shuffled(n: int, size: int, generator: np.random.Generator) -> Iterator[Tensor]:
    order = torch.from_numpy(generator.permutation(n))
    return iter(order.split(size))


@torch.no_grad()
def predict(
    model: nn.Module,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    history_limits: NDArray[np.int64] | None = None,
) -> Tensor:
    """Logits of the given rows, ``[n]`` or ``[n, T]``, in evaluation mode, on the CPU.

    Args:
        history_limits: as in :meth:`EncodedDataset.batch`.
    """
    device = next(model.parameters()).device
    model.eval()
    chunks = []
    for i in range(0, len(rows), PREDICTION_ROWS):
        piece = slice(i, i + PREDICTION_ROWS)
        limits = None if history_limits is None else history_limits[piece]
        chunks.append(model(dataset.batch(rows[piece], limits).to(device)).cpu())
    return torch.cat(chunks)


def logloss(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> float:
    """Mean logloss of the given rows in the first task, in nats, of a model of one task."""
    labels = labels_for(model, dataset, rows)
    return F.binary_cross_entropy_with_logits(predict(model, dataset, rows), labels).item()

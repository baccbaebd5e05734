"""Pre-train a base model on the rows of all users in a window."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Progress
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.chosen_rows import ChosenRows
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.models.kernels.on_rows import tables_elsewhere
from metaselector.models.kernels.rows import is_elsewhere
from metaselector.training.distributed import workers
from metaselector.training.distributed.communication import make_communication
from metaselector.training.distributed.data_parallel import DataParallel
from metaselector.training.freezing import Freezing
from metaselector.training.loop.clipping import clip_gradients
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.loop.train import Plan, train
from metaselector.training.loop.trainable import Trainable, ValidationResult
from metaselector.training.objective import make_objective
from metaselector.training.predict import labels_for, predict

if TYPE_CHECKING:
    from metaselector.training.distributed.sharded.gradients import Averaging

TRIED = 256
"""Rows on which workers try whether they can share a batch."""


class Pretrained(NamedTuple):
    """Result of training a base model.

    Attributes:
        epochs: passes over the rows behind the kept weights.
        history: per epoch ``epoch, train_loss, valid_loss``, mean logloss in nats. Multi-task
            models have the weighted sum of the tasks' losses, and the metrics of each task (see
            :class:`metaselector.training.multi_task.objective.TaskLosses`).
        seconds: wall-clock time of the training.
    """

    epochs: int
    history: list[dict[str, Any]]
    seconds: float


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
    snapshots: SnapshotManager | None = None,
) -> Pretrained:
    """Fit `model` to the labels of `rows` with Adam, in place.

    A multi-task model learns all tasks of the data, any other model the first task.

    Args:
        valid: rows for early stopping; the weights of the best epoch are kept. None trains for
            exactly `epochs`, which refits a model.
        epochs: passes over `rows`; an upper limit if `valid` is given.
        description: name in progress bars, logs and errors.
        freezing: which parameters are frozen; patience restarts once everything is unfrozen.
        snapshots: saves snapshots and resumes from them; None keeps none.

    Raises:
        ConfigError: the loss on `valid` is non-finite after every epoch; or model, data and
            settings have different tasks.
        Diverged: the loss of a step is non-finite.
    """
    config = config.for_rows(len(dataset))
    freezing = freezing or Freezing("", {}, (), None)
    trainable = _Pretraining(model, dataset, rows, config, generator, valid, freezing, description)
    plan = Plan(
        first=1,
        last=epochs,
        steps=epochs * -(-len(rows) // config.rows_per_step),
        patience=config.patience,
        until=freezing.thawed + config.patience - 1,
        advice="lower the model's pretrain.learning_rate, or set pretrain.clip_norm",
    )
    try:
        outcome = train(
            trainable, plan, description=description, progress=progress, snapshots=snapshots
        )
    finally:
        freezing.end()
        model.eval()
    history, seconds = outcome.position.history, outcome.position.seconds
    if valid is None:
        return Pretrained(epochs, history, seconds)
    if not outcome.best:
        raise ConfigError(
            f"{description}: the valid logloss is non-finite after every epoch; lower the model's "
            "pretrain.learning_rate"
        )
    model.load_state_dict(outcome.best)
    return Pretrained(outcome.best_epoch, history, seconds)


class _Pretraining(Trainable):
    """Trains a base model on random batches of rows; see :class:`Trainable`."""

    def __init__(
        self,
        model: nn.Module,
        dataset: EncodedDataset,
        rows: NDArray[np.int64],
        config: PretrainConfig,
        generator: np.random.Generator,
        valid: NDArray[np.int64] | None,
        freezing: Freezing,
        description: str,
    ) -> None:
        self._model, self._dataset, self._rows, self._valid = model, dataset, rows, valid
        self._config, self._freezing, self.generator = config, freezing, generator
        self._device = next(model.parameters()).device
        self._objective = make_objective(model, dataset, config, description)
        self._slots = ChosenRows(dataset, rows, self._device)
        self._labels = labels_for(model, dataset, rows).to(self._device)
        groups = _of_one_kind(self._objective.optimizer_groups())
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Adam(
                groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
            )
        ]
        self.torch_seed = int(generator.integers(2**31))  # for dropout
        self._names = {id(p): name for name, p in model.named_parameters()}
        self.parameters: dict[str, Tensor] = dict(model.named_parameters())
        others = [p for group in groups for p in group["params"] if id(p) not in self._names]
        self.parameters |= {f"balance.{i}": p for i, p in enumerate(others)}
        self._parallel: DataParallel | None = None
        self._averaging: Averaging | None = None
        if tables := tables_elsewhere(model):
            from metaselector.training.distributed.sharded.gradients import Averaging  # slow

            self._averaging = Averaging(self.parameters.values(), tables.values())
        some = torch.arange(min(len(rows), TRIED))
        # Otherwise every worker computes all of a batch.
        self._shares = workers.count() > 1 and self._objective.adds_up(*self._rows_of(some))
        if self._shares:
            self.torch_seed += workers.rank()  # different dropout masks on every worker
        if self._shares and not tables:
            dense = make_communication("none", (), model.parameters())
            self._parallel = DataParallel([model], (), self._part, dense)

    def begin(self, epoch: int) -> Sequence[Tensor]:
        self._model.train()
        self._freezing.begin(epoch)
        order = torch.from_numpy(self.generator.permutation(len(self._rows)))
        return order.split(self._config.rows_per_step)

    def gradients(self, batch: Tensor, epoch: int) -> float:
        self.optimizers[0].zero_grad(set_to_none=True)
        if not self._shares:
            loss = self._objective.backward(self._losses(batch), epoch).item()
        elif self._parallel is not None:
            loss = self._objective.finish(self._parallel.backward([(batch, epoch)]))
        else:  # sharded tables, whose rows are exchanged in the forward pass
            part = self._part(batch, epoch)
            part.backward()
            loss = self._objective.finish(part.item())
        return loss if self._averaging is None else self._averaging.average(loss)

    def _losses(self, batch: Tensor) -> Any:
        with Intercept(Lookups().handlers):  # faster gradients of lookups
            return self._objective.losses(*self._rows_of(batch))

    def _rows_of(self, batch: Tensor) -> tuple[Batch, Tensor]:
        """Slots and labels of the rows at these places."""
        return self._slots.batch(batch), self._labels[batch.to(self._device)]

    def _part(self, batch: Tensor, epoch: int) -> Tensor:
        """This worker's part of the loss of a batch; see :meth:`Objective.part`."""
        own = batch[workers.share(len(batch))]
        losses = self._losses(own if len(own) else batch[:1])  # without rows a worker still joins
        mine, every = (self._labels[rows.to(self._device)] for rows in (own, batch))
        return self._objective.part(losses, mine, every, epoch)

    def update(self) -> None:
        most, averaging = self._config.clip_norm, self._averaging
        if most is not None and averaging is not None:
            averaging.clip(most)
        elif most is not None:
            clip_gradients(self.parameters.values(), most)
        if averaging is not None:
            averaging.densify()
        self.optimizers[0].step()

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        if self._valid is None:
            return ValidationResult(None)
        result = self._objective.validate(self._dataset, self._valid)
        return ValidationResult(result.loss, dict(result.of_tasks))

    def candidate(self) -> dict[str, Tensor]:
        return copy.deepcopy(self._model.state_dict())  # state_dict() aliases the weights

    def users(self, batch: Tensor) -> list[str]:
        users = self._dataset.users[self._rows[batch.numpy()]]
        return [self._dataset.user_names[user] for user in dict.fromkeys(users.tolist())]

    @torch.no_grad()
    def nonfinite_users(self, batch: Tensor) -> list[str]:
        logits = predict(self._model, self._dataset, self._rows[batch.numpy()])
        bad = ~torch.isfinite(logits.reshape(len(batch), -1)).all(1)
        return self.users(batch[bad])

    def group_of(self, name: str) -> str:
        return f"parameter '{name}'"


def _of_one_kind(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Split the groups so that torch's Adam meets no sharded and other parameters together.

    Parameters keep their order, by which a snapshot names them.
    """
    return [
        {**group, "params": list(some)}
        for group in groups
        for _, some in groupby(group["params"], is_elsewhere)
    ]

"""Training base models on all users' rows of a window."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Progress
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.training.distributed import workers
from metaselector.training.distributed.communication import make_communication
from metaselector.training.distributed.data_parallel import DataParallel
from metaselector.training.freezing import Freezing
from metaselector.training.loop.clipping import clip_gradients
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.loop.train import Plan, train
from metaselector.training.loop.trainable import Trainable, ValidationResult
from metaselector.training.multi_task.objective import (
    has_tasks,
)
from metaselector.training.objective import make_objective
from metaselector.training.predict import labels_for, predict


class Pretrained(NamedTuple):
    """How the training of a base model went.

    Attributes:
        epochs: passes over the rows behind the weights that were kept.
        history: per epoch ``epoch, train_loss, valid_loss``, mean logloss in nats; of a model of
            several tasks the sum of the tasks' losses, each times its weight, and also what
            :class:`metaselector.training.multi_task.objective.TaskLosses` has of each task.
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

    A model of several tasks learns all of the data's, any other the first one.

    Args:
        valid: rows whose loss decides when to stop; the weights of the best epoch are kept.
            None trains for exactly `epochs`, which is how a model is refitted.
        epochs: passes over `rows`, at most where `valid` is given.
        description: what the progress bar calls it.
        freezing: what is not trained; patience begins anew when the last of it thaws.
        keeper: where it goes on from, and keeps snapshots; nowhere by default.

    Raises:
        ConfigError: the loss on `valid` is infinite or no number after every epoch; or model, data
            and settings differ in their tasks.
        Diverged: the loss of a step is infinite or no number.
    """
    freezing = freezing or Freezing("", {}, (), None)
    trainable = _Pretraining(model, dataset, rows, config, generator, valid, freezing, description)
    plan = Plan(
        first=1,
        last=epochs,
        steps=epochs * -(-len(rows) // config.batch_size),
        patience=config.patience,
        until=freezing.thawed + config.patience - 1,
        advice="lower the model's pretrain.learning_rate, or set pretrain.clip_norm",
    )
    try:
        found = train(
            trainable, plan, description=description, progress=progress, snapshots=snapshots
        )
    finally:
        freezing.end()
        model.eval()
    history, seconds = found.position.history, found.position.seconds
    if valid is None:
        return Pretrained(epochs, history, seconds)
    if not found.best:
        raise ConfigError(
            f"{description}: the valid logloss is infinite or no number after every epoch; lower "
            "the model's pretrain.learning_rate"
        )
    model.load_state_dict(found.best)
    return Pretrained(found.best_epoch, history, seconds)


class _Pretraining(Trainable):
    """A base model that learns from rows in random batches; see :class:`Trainable`."""

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
        self._batch = dataset.batch(rows).to(self._device)
        self._labels = labels_for(model, dataset, rows).to(self._device)
        groups = self._objective.optimizer_groups()
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
        # The loss of several tasks is no sum over rows: every worker learns from all of them alike.
        if workers.count() > 1 and not has_tasks(model):
            self.torch_seed += workers.rank()  # other masks of dropout on every worker
            dense = make_communication("none", (), model.parameters())
            self._parallel = DataParallel([model], (), self._scaled, dense)

    def begin(self, epoch: int) -> Sequence[Tensor]:
        self._model.train()
        self._freezing.begin(epoch)
        order = torch.from_numpy(self.generator.permutation(len(self._rows)))
        return order.split(self._config.batch_size)

    def gradients(self, batch: Tensor, epoch: int) -> float:
        self.optimizers[0].zero_grad(set_to_none=True)
        if self._parallel is not None:
            return self._share_gradients(self._parallel, batch)
        found = self._losses(batch)
        return self._objective.backward(found, epoch).item()

    def _losses(self, batch: Tensor) -> Any:
        chosen = batch.to(self._device)
        part = Batch(*(slots.index_select(0, chosen) for slots in self._batch))
        with Intercept(Lookups().handlers):  # for their fast gradients
            return self._objective.losses(part, self._labels[chosen])

    def _share_gradients(self, parallel: DataParallel, batch: Tensor) -> float:
        """The same of this worker's part of the rows; the loss and gradients are those of all."""
        own = batch[workers.share(len(batch))]
        part = own if len(own) else batch[:1]  # who has no rows takes part for nothing
        scale = len(own) / len(batch) * workers.count()
        return parallel.backward([(part, scale)])

    def _scaled(self, batch: Tensor, scale: float) -> Tensor:
        loss: Tensor = self._losses(batch) * scale
        return loss

    def update(self) -> None:
        if self._config.clip_norm is not None:
            clip_gradients(self.parameters.values(), self._config.clip_norm)
        self.optimizers[0].step()

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        if self._valid is None:
            return ValidationResult(None)
        result = self._objective.validate(self._dataset, self._valid)
        return ValidationResult(result.loss, dict(result.of_tasks))

    def candidate(self) -> dict[str, Tensor]:
        return copy.deepcopy(self._model.state_dict())  # which aliases the weights

    def users(self, batch: Tensor) -> list[str]:
        of_rows = self._dataset.users[self._rows[batch.numpy()]]
        return [self._dataset.user_names[user] for user in dict.fromkeys(of_rows.tolist())]

    @torch.no_grad()
    def nonfinite_users(self, batch: Tensor) -> list[str]:
        logits = predict(self._model, self._dataset, self._rows[batch.numpy()])
        bad = ~torch.isfinite(logits.reshape(len(batch), -1)).all(1)
        return self.users(batch[bad])

    def group_of(self, name: str) -> str:
        return f"parameter '{name}'"

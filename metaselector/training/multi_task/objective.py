"""The training objective of a multi-task model: task losses, their balance, parameter groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, nearest
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.models.kernels.on_rows import outputs
from metaselector.training.distributed import workers
from metaselector.training.multi_task.aggregation import Aggregated, make_aggregator
from metaselector.training.multi_task.balance import Balance, Uncertainty, WeightedSum
from metaselector.training.multi_task.metrics import task_metrics

EMBEDDING, SHARED = "embedding", "shared"
OF_TASKS = {
    "embedding_learning_rate", "shared_learning_rate", "task_learning_rates", "task_weights",
    "balance", "task_decay", "aggregator", "aggregator_options",
}  # fmt: skip
"""Settings that only apply to multi-task models."""


class _Task(Protocol):
    @property
    def numeric(self) -> bool: ...


class Losses(Protocol):
    """Structural type of :class:`base_models.TaskLosses`."""

    @property
    def tasks(self) -> Tensor: ...

    @property
    def penalty(self) -> Tensor: ...


class TaskModel(nn.Module):
    """Interface of a multi-task base model, for the type checker; never instantiated."""

    tasks: Sequence[_Task]

    def losses(self, batch: Batch, labels: Tensor) -> Losses:
        raise TypeError("not a model")

    def counted(self, labels: Tensor) -> Tensor:
        raise TypeError("not a model")

    def parameter_groups(self) -> Mapping[str, Sequence[str]]:
        raise TypeError("not a model")


def has_tasks(model: nn.Module) -> TypeGuard[TaskModel]:
    """Whether `model` is a multi-task model."""
    return hasattr(model, "losses")


def refuse_task_settings(config: PretrainConfig, description: str) -> None:
    """Raise a ConfigError if a single-task model has multi-task settings."""
    given = config.model_dump(exclude_none=True).keys() & OF_TASKS
    if given:
        raise ConfigError(
            f"{description}: pretrain.{min(given)}: this model has a single task; remove the "
            "setting, or use a multi-task model"
        )


class TaskLosses(NamedTuple):
    """Validation result of a model.

    Attributes:
        loss: weighted sum of the tasks' losses, each on the rows that observe the task.
        of_tasks: ``valid_loss_<task>``, ``valid_auc_<task>`` and ``valid_rows_<task>``.
    """

    loss: float
    of_tasks: dict[str, float]


class TaskObjective:
    """Training loss and validation metrics of a multi-task model.

    Args:
        model: the multi-task model.
        names: task names, in the model's order.
        config: weights, balance and learning rates.
        description: prefix of error messages.

    Raises:
        ConfigError: model, data and settings have different tasks; or the model's parameter groups
            overlap or do not cover all parameters.
        UserError: the library that `config` asks for is not installed.
    """

    def __init__(
        self, model: TaskModel, names: Sequence[str], config: PretrainConfig, description: str
    ) -> None:
        if len(model.tasks) != len(names):
            raise ConfigError(
                f"{description}: the model has {len(model.tasks)} tasks, but the data has "
                f"{len(names)} ({', '.join(names)}); build the model with the data's tasks"
            )
        self.model, self._names, self._config = model, tuple(names), config
        self._numeric = [task.numeric for task in model.tasks]
        self._description = description
        weights = self._by_task("task_weights", config.task_weights)
        if config.task_weights is not None and len(config.task_weights) < len(names):
            missing = [name for name in names if name not in config.task_weights]
            raise ConfigError(
                f"{description}: pretrain.task_weights: lists {len(config.task_weights)} of "
                f"{len(names)} tasks; add {', '.join(missing)}"
            )
        self._weights = weights
        self._groups = self._grouped()
        self.balance = self._make_balance(weights).to(next(model.parameters()).device)

    def _by_task(self, key: str, given: Mapping[str, float] | None) -> list[float]:
        for name in given or {}:
            if name not in self._names:
                raise ConfigError(
                    f"{self._description}: pretrain.{key}.{name}: the data has no such task; "
                    + nearest(name, self._names)
                )
        return [(given or {}).get(name, 1.0) for name in self._names]

    def _grouped(self) -> dict[str, list[nn.Parameter]]:
        """The model's parameters by group; checks that each is in exactly one group."""
        known = dict(self.model.named_parameters())
        of = f"{self._description}: {type(self.model).__name__}.parameter_groups()"
        allowed = [EMBEDDING, SHARED, *(f"task-{t}" for t in range(len(self._names)))]
        owner: dict[str, str] = {}
        groups: dict[str, list[nn.Parameter]] = {}
        for group, members in self.model.parameter_groups().items():
            if group not in allowed:
                raise ConfigError(f"{of}: unknown group '{group}'; {_one_of(allowed)}")
            for name in members:
                if name not in known:
                    raise ConfigError(f"{of}: no parameter '{name}'; {nearest(name, known)}")
                if name in owner:
                    both = " and in ".join(dict.fromkeys((owner[name], group)))
                    raise ConfigError(f"{of}: '{name}' is listed twice, in {both}; list it once")
                owner[name] = group
            groups[group] = [known[name] for name in members]
        missing = [name for name in known if name not in owner]
        if missing:
            raise ConfigError(f"{of}: '{missing[0]}' is in no group; {_one_of(allowed)}")
        return groups

    def _make_balance(self, weights: list[float]) -> Balance:
        config = self._config
        if config.balance == "uncertainty":
            return Uncertainty(weights, self._numeric)
        if config.aggregator is not None:
            groups = self._groups
            shared = [p for name in (EMBEDDING, SHARED) for p in groups.get(name, [])]
            own = [p for name, ps in groups.items() if name not in (EMBEDDING, SHARED) for p in ps]
            aggregate = make_aggregator(config.aggregator, config.aggregator_options or {})
            return Aggregated(aggregate, weights, shared, own)
        return WeightedSum(weights, self._by_task("task_decay", config.task_decay))

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for a torch optimizer, including the balance's parameters."""
        config, default = self._config, self._config.learning_rate
        rates = {
            EMBEDDING: config.embedding_learning_rate or default,
            SHARED: config.shared_learning_rate or default,
        }
        self._by_task("task_learning_rates", config.task_learning_rates)
        for t, name in enumerate(self._names):
            rates[f"task-{t}"] = (config.task_learning_rates or {}).get(name, default)
        groups: list[dict[str, Any]] = [
            {"params": members, "lr": rates[group]}
            for group, members in self._groups.items()
            if members
        ]
        own = list(self.balance.parameters())
        return [*groups, {"params": own, "weight_decay": 0.0}] if own else groups

    def losses(self, batch: Batch, labels: Tensor) -> Losses:
        """The model's training losses; labels ``[B, T]``, nan where a task is not observed."""
        found: Losses = outputs(self.model, batch, labels, method="losses")
        return found

    def backward(self, losses: Losses, epoch: int) -> Tensor:
        """Compute the gradients of one step.

        Returns:
            Scalar: the weighted sum of the tasks' losses, without penalty or decay.
        """
        self.balance.backward(losses.tasks, losses.penalty, epoch)
        return (losses.tasks.detach() * losses.tasks.new_tensor(self._weights)).sum()

    @torch.no_grad()
    def adds_up(self, batch: Batch, labels: Tensor) -> bool:
        """Whether workers can share the rows of a batch.

        They can if the gradients depend on the losses alone, and the losses of the batch are the
        means of those of its two halves, weighted by the rows that the model counts.
        """
        if not self.balance.by_losses or not hasattr(self.model, "counted"):
            return False
        training = self.model.training
        self.model.eval()  # dropout would make the halves differ from the whole
        try:
            whole = _together(self.losses(batch, labels))
            parts = torch.zeros_like(whole)
            for rows in torch.arange(len(labels), device=labels.device).tensor_split(2):
                if len(rows):
                    some = Batch(*(slots[rows] for slots in batch))
                    shares = torch.cat(self._shares(labels[rows], labels))
                    parts += _together(self.losses(some, labels[rows])) * shares
        finally:
            self.model.train(training)
        return torch.allclose(parts, whole, rtol=1e-4, atol=1e-6)

    def part(self, losses: Losses, own: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """This worker's part of the combined loss; the mean over workers has its gradient.

        The balance sees the tasks' losses on the whole batch, which the workers add up.

        Args:
            losses: of this worker's rows.
            own: labels of those that count ``[B', T]``, possibly none.
            labels: of the whole batch, ``[B, T]``.
        """
        share, of_penalty = self._shares(own, labels)
        part = losses.tasks * share
        summed = workers.summed(part.detach().cpu().numpy())
        whole = torch.from_numpy(summed).to(part.device).requires_grad_()
        learned = list(self.balance.parameters())
        slopes, *gradients = torch.autograd.grad(self.balance(whole, epoch), [whole, *learned])
        self._of_step = whole.detach(), list(zip(learned, gradients, strict=True))
        return workers.count() * ((slopes * part).sum() + (of_penalty * losses.penalty).sum())

    def finish(self, loss: float) -> float:
        """Give the balance its gradients, and return the weighted sum of the tasks' losses."""
        whole, learned = self._of_step
        for parameter, gradient in learned:
            parameter.grad = gradient
        return float((whole * whole.new_tensor(self._weights)).sum())

    def _shares(self, own: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The share that `own` is of `labels`, for each task ``[T]`` and the penalty ``[1]``."""
        tasks, known = (
            (self.model.counted(each).sum(0), (~each.isnan().all(1)).sum(0, keepdim=True))
            for each in (own, labels)
        )
        of_tasks, of_known = (a / b.clamp_min(1) for a, b in zip(tasks, known, strict=True))
        return of_tasks, of_known

    def losses_of(self, outputs: Tensor, labels: Tensor) -> TaskLosses:
        """Score predictions ``[n, T]``; the balance used for training plays no role."""
        metrics = task_metrics(outputs, labels, self._numeric)
        observed = [(w, m.loss) for w, m in zip(self._weights, metrics, strict=True) if m.rows]
        of_tasks: dict[str, float] = {}
        for name, of_task in zip(self._names, metrics, strict=True):
            of_tasks[f"valid_loss_{name}"] = of_task.loss
            of_tasks[f"valid_auc_{name}"] = of_task.auc
            of_tasks[f"valid_rows_{name}"] = of_task.rows
        loss = sum(w * loss for w, loss in observed) if observed else math.nan
        return TaskLosses(loss, of_tasks)


def _together(losses: Losses) -> Tensor:
    """``[T + 1]``."""
    return torch.cat([losses.tasks, losses.penalty.reshape(1)])


def _one_of(names: Sequence[str]) -> str:
    return "the groups are " + ", ".join(names)

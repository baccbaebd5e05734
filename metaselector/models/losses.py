"""The loss of the inner and outer loop: the logloss of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from metaselector.common.errors import ConfigError, nearest
from metaselector.models.mixture import MixtureOutput


def row_loss(output: MixtureOutput, labels: Tensor) -> Tensor:
    """Logloss of every row, in nats.

    Example:
        >>> import torch
        >>> p = torch.tensor([0.5, 0.9])
        >>> output = MixtureOutput(p.log(), (1 - p).log(), torch.ones(2, 1), p.unsqueeze(-1))
        >>> row_loss(output, torch.tensor([1.0, 1.0]))
        tensor([0.6931, 0.1054])
    """
    return -(labels * output.log_positive + (1 - labels) * output.log_negative)


@dataclass(frozen=True)
class MeanLoss:
    """Mean logloss of rows; with several tasks, the mean of their weighted sum.

    ``sum_i m_i sum_t w_t o_it l_it / sum_i m_i``, with the mask m and the loss l; o is 1 if a task
    is observed, else 0. So a task that is seldom observed counts less. Dividing by each task's own
    number of rows instead would make the loss of a batch differ from the mean over its users.

    Attributes:
        weights: one per task; None with a single task.

    Example:
        >>> import torch
        >>> p = torch.tensor([0.5, 0.9])
        >>> output = MixtureOutput(p.log(), (1 - p).log(), torch.ones(2, 1), p.unsqueeze(-1))
        >>> round(MeanLoss()(output, torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])).item(), 4)
        0.6931
    """

    weights: tuple[float, ...] | None = None

    def rows(self, output: MixtureOutput, labels: Tensor) -> Tensor:
        """Losses ``[..., R]`` for labels ``[..., R]`` or ``[..., R, T]``, nan if not observed."""
        if self.weights is None:
            return row_loss(output, labels)
        observed = ~labels.isnan()
        losses = row_loss(output, labels.nan_to_num()) * observed
        return (losses * losses.new_tensor(self.weights)).sum(-1)

    def __call__(self, output: MixtureOutput, labels: Tensor, mask: Tensor) -> Tensor:
        """The mean weighted by `mask` ``[..., R]``, a scalar; 0, but in the graph, if all are 0."""
        return (self.rows(output, labels) * mask).sum() / mask.sum().clamp_min(1)


mean_loss = MeanLoss()


def make_loss(tasks: Sequence[str], weights: Mapping[str, float] | None) -> MeanLoss:
    """The loss for the tasks of the data.

    Args:
        tasks: names of the tasks.
        weights: of tasks, by name; 1 by default.

    Raises:
        ConfigError: there is no such task.
    """
    weights = weights or {}
    for name in weights:
        if name not in tasks:
            raise ConfigError(
                f"adapt.task_weights: the data has no task '{name}'; {nearest(name, tasks)}"
            )
    if len(tasks) == 1:
        if weights:
            raise ConfigError("adapt.task_weights: the data has one task, which needs no weight")
        return mean_loss
    return MeanLoss(tuple(weights.get(name, 1.0) for name in tasks))

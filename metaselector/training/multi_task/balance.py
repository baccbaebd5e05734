"""Weight the task losses of a multi-task model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Balance(nn.Module):
    """Turns the tasks' losses into gradients.

    Its parameters, if any, are trained with the model's, without weight decay.

    Attributes:
        by_losses: whether the gradients of a step are those of :meth:`forward`, so that workers can
            compute the losses of some rows each.
    """

    by_losses = True

    def forward(self, losses: Tensor, epoch: int) -> Tensor:
        """Combine the tasks' losses ``[T]`` into a scalar; epochs count from 1."""
        raise TypeError(f"{type(self).__name__} must define forward(losses, epoch) -> scalar")

    def backward(self, losses: Tensor, penalty: Tensor, epoch: int) -> None:
        """Add the gradients of one step to the parameters' ``grad``.

        Args:
            losses: ``[T]``; exactly 0 for a task that no row of the batch observes.
            penalty: scalar added to the combined loss.
        """
        (self(losses, epoch) + penalty).backward()


class WeightedSum(Balance):
    """``sum_t w_t gamma_t^(epoch - 1) L_t``: the first epoch uses the weights as given.

    Source of the decay: Tang et al., "Progressive Layered Extraction (PLE)", RecSys 2020, on the
    joint loss.

    Args:
        weights, decays: w and gamma of every task, ``[T]``.
    """

    weights: Tensor
    decays: Tensor

    def __init__(self, weights: Sequence[float], decays: Sequence[float] | None = None) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        self.register_buffer("decays", torch.tensor(decays or [1.0] * len(weights)))

    def forward(self, losses: Tensor, epoch: int) -> Tensor:
        return (self.weights * self.decays ** (epoch - 1) * losses).sum()


class Uncertainty(Balance):
    """``sum_t w_t (e^(-s_t) L_t + s_t / 2)``, with ``e^(-s_t) L_t / 2`` for numeric labels.

    ``s_t`` is the learned log-variance of task t, 0 at first. A task that no row of a batch
    observes keeps its variance. Source: Kendall et al., "Multi-Task Learning Using Uncertainty to
    Weigh Losses", CVPR 2018, Eq. 10.

    Args:
        weights: w, ``[T]``.
        numeric: whether each task's label is numeric, ``[T]``.
    """

    weights: Tensor
    shares: Tensor

    def __init__(self, weights: Sequence[float], numeric: Sequence[bool]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        self.register_buffer("shares", torch.where(torch.tensor(numeric), 0.5, 1.0))
        self.log_variances = nn.Parameter(torch.zeros(len(weights)))

    def forward(self, losses: Tensor, epoch: int) -> Tensor:
        s = self.log_variances
        terms = self.shares * torch.exp(-s) * losses + s / 2
        return (self.weights * terms * (losses.detach() != 0)).sum()

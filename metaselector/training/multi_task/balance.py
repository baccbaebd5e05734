"""How the losses of several tasks become one step of training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Balance(nn.Module):
    """Turns the tasks' losses into gradients.

    Parameters of its own are trained beside the model's, without weight decay.
    """

    def forward(self, losses: Tensor, epoch: int) -> Tensor:
        """One scalar of the tasks' losses ``[T]``; the first epoch is 1."""
        raise TypeError(f"{type(self).__name__} must define forward(losses, epoch) -> scalar")

    def backward(self, losses: Tensor, penalty: Tensor, epoch: int) -> None:
        """Put the gradients of one step where the optimizer finds them.

        Args:
            losses: ``[T]``; one that is exactly 0 is of a task that no row of the batch observes.
            penalty: scalar, to be added whatever is made of `losses`.
        """
        (self(losses, epoch) + penalty).backward()


class WeightedSum(Balance):
    """``sum_t w_t gamma_t^(epoch - 1) L_t``, so that the first epoch has the given weights.

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
    """``sum_t w_t (e^(-s_t) L_t + s_t / 2)``, and ``e^(-s_t) L_t / 2`` where the label is a number.

    ``s_t`` is the learned logarithm of the task's variance, 0 at first. Source: Kendall et al.,
    "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR 2018, Eq. 10. A task
    that no row of a batch observes leaves its variance as it is.

    Args:
        weights: w, ``[T]``.
        numeric: whether the task's label is a number, ``[T]``.
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

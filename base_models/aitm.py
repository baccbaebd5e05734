"""Adaptive information transfer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base_models.blocks import EmbeddedTasks, Towers, task_before
from base_models.contract import (
    Batch,
    Task,
    TaskLosses,
    TaskModules,
    labelled_mean,
    observed_losses,
)
from base_models.funnel import conditional_logits, labels_of_all_rows, refuse_numbers
from base_models.layers import hidden


class Transfer(nn.Module):
    """What a task takes over from the one before it, both ``[..., B, k]``.

    ``p = g(z)`` of the earlier task's z, and ``z_t = sum_u w_u h1(u)`` over u in {p, q_t}, with the
    w a softmax over the two scores ``<h2(u), h3(u)> / sqrt(k)``: each candidate scores itself. g is
    a layer with ReLU, the h are linear.
    """

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.g = hidden([size, size], dropout)
        self.h1 = nn.Linear(size, size, bias=False)
        self.h2 = nn.Linear(size, size, bias=False)
        self.h3 = nn.Linear(size, size, bias=False)

    def forward(self, earlier: Tensor, own: Tensor) -> Tensor:
        both = torch.stack([self.g(earlier), own], dim=-2)  # [..., B, 2, k]
        scores = (self.h2(both) * self.h3(both)).sum(-1) * both.shape[-1] ** -0.5
        return (scores.softmax(-1).unsqueeze(-1) * self.h1(both)).sum(-2)


class AITM(EmbeddedTasks):
    """AITM (Xi et al., KDD 2021): tasks hand on what they know to those after them.

    ``q_t = f_t(x)`` with an MLP f_t for each task on the shared field embeddings x; ``z_1 = q_1``
    and z_t is q_t with what it takes from the task before (:class:`Transfer`);
    ``y_t = sigmoid(h_t(z_t))`` with a tower h_t is the probability, among *all* rows, that task t
    and all it is after are 1. The losses are the loglosses of y_t over all rows, and the penalty is
    the paper's calibrator, ``calibrator_weight * mean(sum_t max(y_t - y_before, 0))``. ``forward``
    gives what our contract asks for: the log-odds of ``y_t / y_before``.

    Where we deviate: tasks need not be a chain. Without a task that it is after, a task takes from
    the last one before it, but there is no calibrator between the two, nor is a label of 0 implied.

    Args:
        embedding_size: D.
        bottom_sizes: widths of each f_t's layers, the last one is k.
        tower_sizes: widths of the hidden layers of each h_t.
        calibrator_weight: the paper's alpha.
        dropout: after every hidden layer, 0 to 1.

    Raises:
        ValueError: a task is numeric.
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int = 16,
        bottom_sizes: Sequence[int] = (64, 32),
        tower_sizes: Sequence[int] = (32,),
        calibrator_weight: float = 0.6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        refuse_numbers("AITM", self.tasks)
        sizes = [self.inputs, *bottom_sizes]
        self.calibrator_weight = calibrator_weight
        self.bottoms = TaskModules(hidden(sizes, dropout) for _ in self.tasks)
        self.transfers = TaskModules(
            nn.Identity() if task_before(self.tasks, t) is None else Transfer(sizes[-1], dropout)
            for t in range(len(self.tasks))
        )
        self.towers = Towers(self.tasks, sizes[-1], tower_sizes, dropout)

    def logits_of_all_rows(self, batch: Batch) -> Tensor:
        """Log-odds of each y_t, ``[..., B, T]``."""
        x = self.embed(batch)
        z: list[Tensor] = []
        for t, (bottom, transfer) in enumerate(zip(self.bottoms, self.transfers, strict=True)):
            before, own = task_before(self.tasks, t), bottom(x)
            z.append(own if before is None else transfer(z[before], own))
        return self.towers(z)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        return conditional_logits(self.logits_of_all_rows(batch), self.tasks)

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Mean loss of each task over all rows, and the calibrator; labels as of the base class.

        A row where a task before is 0 counts as 0; one where that, or the label itself, is unknown
        does not count. The calibrator is a mean over rows of which any label is known.
        """
        logits = self.logits_of_all_rows(batch)
        losses = observed_losses(logits, labels_of_all_rows(labels, self.tasks), self.tasks)
        y = torch.sigmoid(logits)
        excess = y.new_zeros(y.shape[:-1])  # [B]
        for t, task in enumerate(self.tasks):
            if task.after is not None:
                excess = excess + (y[..., t] - y[..., task.after]).relu()
        return TaskLosses(losses, self.calibrator_weight * labelled_mean(excess, labels))

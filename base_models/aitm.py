"""Adaptive Information Transfer Multi-task."""

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

    ``p = g(z)`` for z of the earlier task, and ``z_t = sum_u w_u h1(u)`` over u in {p, q_t}. The
    weights w are a softmax over the scores ``<h2(u), h3(u)> / sqrt(k)``; each candidate scores
    itself. g is a layer with ReLU; h1, h2 and h3 are linear.
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
    """Each task passes what it learned on to the next (Xi et al., "AITM", KDD 2021).

    ``q_t = f_t(x)`` with an MLP f_t per task on shared field embeddings x. ``z_1 = q_1``, and z_t
    combines q_t with what the task takes from the one before (:class:`Transfer`).
    ``y_t = sigmoid(h_t(z_t))``, with a tower h_t, is the probability among *all* rows that task t
    and all tasks that it is after are 1. The losses are the loglosses of y_t over all rows. The
    penalty is the paper's calibrator, ``calibrator_weight * mean(sum_t max(y_t - y_before, 0))``.
    ``forward`` returns what the contract asks for, the log-odds of ``y_t / y_before``.

    Deviation: tasks need not form a chain. A task that is after no other takes from the task right
    before it, without a calibrator, and that task's label 0 does not imply its own.

    Args:
        embedding_size: D.
        bottom_sizes: layer widths of each f_t; the last one is k.
        tower_sizes: hidden layer widths of each h_t.
        calibrator_weight: the paper's alpha.
        dropout: after each hidden layer, 0 to 1.

    Raises:
        ValueError: a task is numeric.

    Example:
        >>> import torch
        >>> from base_models import AITM, Task
        >>> model = AITM(4, [0, 1], tasks=[Task(), Task(after=0)])
        >>> rows = torch.tensor([[1, 3], [2, 3]]), torch.ones(2, 2)
        >>> tuple(model(rows).shape), tuple(model.logits_of_all_rows(rows).shape)
        ((2, 2), (2, 2))
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
        """Mean loss of each task over all rows, and the calibrator; labels as in the base class.

        Rows count as in :meth:`ESMM.losses <base_models.esmm.ESMM.losses>`. The calibrator is a
        mean over the rows with any known label.
        """
        logits = self.logits_of_all_rows(batch)
        losses = observed_losses(logits, labels_of_all_rows(labels, self.tasks), self.tasks)
        y = torch.sigmoid(logits)
        excess = y.new_zeros(y.shape[:-1])  # [B]
        for t, task in enumerate(self.tasks):
            if task.after is not None:
                excess = excess + (y[..., t] - y[..., task.after]).relu()
        return TaskLosses(losses, self.calibrator_weight * labelled_mean(excess, labels))

    def counted(self, labels: Tensor) -> Tensor:
        """As :meth:`ESMM.counted <base_models.esmm.ESMM.counted>`."""
        return ~labels_of_all_rows(labels, self.tasks).isnan()

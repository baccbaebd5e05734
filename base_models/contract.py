"""What a base model is.

A base model scores a batch of (id, value) slots. It imports torch only, so that it can be read,
copied and reused by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = tuple[Tensor, Tensor]
"""``(ids, values)``: int64 and float ``[..., B, C]``; id 0 with value 0 is padding."""


class BaseModel(nn.Module):
    """Base class of base models: ``forward((ids, values)) -> logits``.

    ``forward`` takes ids and values ``[..., B, C]`` and returns logits ``[..., B]``. It changes no
    state: no batch-norm running statistics, because the model may be adapted per user by a
    functional engine.

    Every parameter that is indexed by ids along its first axis must be named in ``tables``, as in
    ``named_parameters()``. The engine hands ``forward`` smaller tables with only the touched rows
    and ids remapped to them, so index with the given ids and nothing else. Id 0 stays 0.
    ``F.embedding`` and ``F.embedding_bag`` (modes sum and mean) are the fast way to do so; their
    options ``max_norm``, ``scale_grad_by_freq`` and any ``padding_idx`` but 0 cannot be adapted.

    A model that must know which field is the user, the item or so has a constructor argument for
    each and names it in ``fields`` with the field's usual name. A configuration may give another
    name as the option of that argument; the constructor gets the field's index.

    Args (of every subclass's constructor, before its own options):
        num_ids: rows of a table indexed by ids (V).
        slot_fields: field index of every slot, length C; the slots of a field are adjacent.
    """

    tables: ClassVar[tuple[str, ...]] = ()
    fields: ClassVar[Mapping[str, str]] = {}

    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__()
        self.num_ids = num_ids
        self.num_fields = max(slot_fields) + 1

    def forward(self, batch: Batch) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(batch) -> logits [..., B]")


class Task(NamedTuple):
    """One thing to predict, as a multi-task model needs to know it.

    Attributes:
        after: index of the earlier task that must be 1 for this one to be observed, such as a click
            before a conversion; None where the task stands for itself.
        numeric: whether the label is a number to come close to, rather than 0 or 1.
    """

    after: int | None = None
    numeric: bool = False


class TaskLosses(NamedTuple):
    """What a multi-task model is trained on.

    Attributes:
        tasks: ``[T]``, mean loss of each task; 0, still in the graph, where nothing is observed.
        penalty: scalar, added to whatever combines them.
    """

    tasks: Tensor
    penalty: Tensor


class MultiTaskModel(BaseModel):
    """Base class of models of several tasks: ``forward((ids, values)) -> logits [..., B, T]``.

    ``sigmoid(logits[..., t])`` is the probability that the label of task t is 1 *where the task is
    observed*: of a task that is :attr:`Task.after` another, given that the other one is 1. Of a
    numeric task the output is the number itself.

    Args (of every subclass's constructor, before its own options):
        num_ids, slot_fields: as of :class:`BaseModel`.
        tasks: the T tasks.
    """

    def __init__(self, num_ids: int, slot_fields: Sequence[int], tasks: Sequence[Task]) -> None:
        super().__init__(num_ids, slot_fields)
        self.tasks = tuple(Task(*task) for task in tasks)

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Mean loss of each task over the rows where it is observed.

        Args:
            labels: ``[B, T]``, nan where a task is not observed.
        """
        logits = self(batch)
        return TaskLosses(observed_losses(logits, labels, self.tasks), logits.new_zeros(()))

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        """Names of all parameters by whom they serve: embedding, shared, task-0 to task-(T-1)."""
        raise TypeError(f"{type(self).__name__} must define parameter_groups()")


def observed_losses(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Mean loss of each task where it is observed: logloss, or the squared error of a number.

    Args:
        outputs: ``[B, T]``.
        labels: ``[B, T]``, nan where a task is not observed.

    Returns:
        ``[T]``; 0, still in the graph, where nothing is observed.
    """
    observed = ~labels.isnan()
    known = labels.nan_to_num()
    numeric = torch.tensor([task.numeric for task in tasks], device=outputs.device)
    losses = torch.where(
        numeric,
        (outputs - known) ** 2,
        F.binary_cross_entropy_with_logits(
            outputs, torch.where(numeric, 0.0, known), reduction="none"
        ),
    )
    return (losses * observed).sum(-2) / observed.sum(-2).clamp_min(1)

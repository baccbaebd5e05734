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

    tables: tuple[str, ...] = ()
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


class TaskModules(nn.ModuleList):
    """One module for each task, in order; its parameters belong to the task."""


class MultiTaskModel(BaseModel):
    """Base class of models of several tasks: ``forward((ids, values)) -> logits [..., B, T]``.

    ``sigmoid(logits[..., t])`` is the probability that the label of task t is 1 *where the task is
    observed*: of a task that is :attr:`Task.after` another, given that the other one is 1. Of a
    numeric task the output is the number itself.

    What a task does not share with others is in :class:`TaskModules`.

    Args (of every subclass's constructor, before its own options):
        num_ids, slot_fields: as of :class:`BaseModel`.
        tasks: the T tasks; a plain tuple will do for a :class:`Task`.

    Raises:
        ValueError: there is no task, or one is after what is no earlier task of 0 and 1.
    """

    def __init__(self, num_ids: int, slot_fields: Sequence[int], tasks: Sequence[Task]) -> None:
        super().__init__(num_ids, slot_fields)
        self.tasks = tuple(Task(*task) for task in tasks)
        if not self.tasks:
            raise ValueError("a multi-task model needs at least one task")
        for t, task in enumerate(self.tasks):
            if task.after is not None and not 0 <= task.after < t:
                raise ValueError(f"task {t} must be after an earlier task, not {task.after}")
            if task.after is not None and self.tasks[task.after].numeric:
                raise ValueError(f"task {t} cannot be after task {task.after}, which is numeric")

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Mean loss of each task over the rows where it is observed.

        Args:
            labels: ``[B, T]``, nan where a task is not observed.
        """
        logits = self(batch)
        return TaskLosses(observed_losses(logits, labels, self.tasks), logits.new_zeros(()))

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        """Names of all parameters by whom they serve: embedding, shared, task-0 to task-(T-1).

        The tables are the embedding; a group may be empty.
        """
        owners = {
            f"{name}.{t}.": f"task-{t}"
            for name, module in self.named_modules()
            if isinstance(module, TaskModules)
            for t in range(len(self.tasks))
        }
        groups: dict[str, list[str]] = {"embedding": [], "shared": []}
        groups.update({f"task-{t}": [] for t in range(len(self.tasks))})
        for name, _ in self.named_parameters():
            owner = next(
                (own for prefix, own in owners.items() if name.startswith(prefix)), "shared"
            )
            groups["embedding" if name in self.tables else owner].append(name)
        return {group: tuple(names) for group, names in groups.items()}


def observed_losses(outputs: Tensor, labels: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Mean loss of each task where it is observed: logloss, or the squared error of a number.

    Args:
        outputs: ``[B, T]``.
        labels: ``[B, T]``, nan where a task is not observed.

    Returns:
        ``[T]``; 0, still in the graph, where nothing is observed.
    """
    known = labels.nan_to_num()
    numeric = torch.tensor([task.numeric for task in tasks], device=outputs.device)
    losses = torch.where(
        numeric,
        (outputs - known) ** 2,
        F.binary_cross_entropy_with_logits(
            outputs, torch.where(numeric, 0.0, known), reduction="none"
        ),
    )
    return observed_mean(losses, labels)


def observed_mean(losses: Tensor, labels: Tensor) -> Tensor:
    """Mean of the losses ``[B, T]`` of each task where its label ``[B, T]`` is no nan: ``[T]``."""
    observed = ~labels.isnan()
    return torch.where(observed, losses, 0.0).sum(-2) / observed.sum(-2).clamp_min(1)


def labelled_mean(values: Tensor, labels: Tensor) -> Tensor:
    """Mean of the values ``[B]`` of rows of which any label ``[B, T]`` is no nan: a scalar."""
    labelled = ~labels.isnan().all(-1)
    return torch.where(labelled, values, 0.0).sum(-1) / labelled.sum(-1).clamp_min(1)

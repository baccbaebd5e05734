"""The contract of base models.

A base model scores a batch of (id, value) slots. It imports torch only, so it can be read, copied
and reused on its own.
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
    """Base class of all base models: ``forward((ids, values)) -> logits``.

    ``forward`` takes ids (int64) and values (float), both ``[..., B, C]``, and returns logits
    ``[..., B]``. It must not change state, such as running statistics of batch-norm, because a
    functional engine may adapt the model per user.

    Every parameter that is indexed by ids along its first axis must be listed in ``tables``, by its
    name in ``named_parameters()``. During adaptation ``forward`` gets smaller tables that hold only
    the rows a user touches, with ids remapped to them; so index with the given ids only. Id 0 stays
    0. ``F.embedding`` and ``F.embedding_bag`` (modes sum and mean) are the fast way to index. Their
    options ``max_norm`` and ``scale_grad_by_freq``, and a ``padding_idx`` other than 0, cannot be
    adapted.

    A model that needs to know which field is the user, the item and so on takes an index per field
    as a constructor argument and lists the argument in ``fields`` with the usual name of the field.
    A configuration can set the argument to another field name; the constructor gets its index.

    Args (of every subclass's constructor, before its own options):
        num_ids: rows of a table indexed by ids (V).
        slot_fields: field index of each slot, length C; the slots of a field are adjacent.

    Example:
        >>> import torch
        >>> from base_models import BaseModel
        >>> class Bias(BaseModel):
        ...     tables = ("bias",)
        ...     def __init__(self, num_ids, slot_fields):
        ...         super().__init__(num_ids, slot_fields)
        ...         self.bias = torch.nn.Parameter(torch.zeros(num_ids))
        ...     def forward(self, batch):
        ...         ids, values = batch
        ...         return (self.bias[ids] * values).sum(-1)
        >>> Bias(4, [0, 1])((torch.tensor([[1, 3], [2, 3]]), torch.ones(2, 2))).tolist()
        [0.0, 0.0]
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
    """What a multi-task model needs to know about a task.

    Attributes:
        after: index of the earlier task that must be 1 for this one to be observed, such as the
            click before a conversion; None if there is no such task.
        numeric: whether the label is a number to approximate, rather than 0 or 1.

    Example:
        >>> from base_models import Task
        >>> click, conversion, seconds = Task(), Task(after=0), Task(numeric=True)
        >>> conversion
        Task(after=0, numeric=False)
    """

    after: int | None = None
    numeric: bool = False


class TaskLosses(NamedTuple):
    """The losses a multi-task model is trained on.

    Attributes:
        tasks: ``[T]``, mean loss of each task; 0, still in the graph, if nothing is observed.
        penalty: scalar, added to the combined loss: either a mean over the rows with any known
            label, or independent of the rows.

    Example:
        >>> import torch
        >>> from base_models import TaskLosses
        >>> losses, penalty = TaskLosses(torch.tensor([0.5, 0.25]), torch.tensor(0.125))
        >>> (losses.sum() + penalty).item()
        0.875
    """

    tasks: Tensor
    penalty: Tensor


class TaskModules(nn.ModuleList):
    """One module per task, in order; its parameters belong to the task."""


class MultiTaskModel(BaseModel):
    """Base class of models with several tasks: ``forward((ids, values)) -> logits [..., B, T]``.

    ``sigmoid(logits[..., t])`` is the probability that the label of task t is 1 *where the task is
    observed*: for a task that is :attr:`Task.after` another, given that the other one is 1. For a
    numeric task the output is the predicted number.

    Parameters that a task does not share are in :class:`TaskModules`.

    Args (of every subclass's constructor, before its own options):
        num_ids, slot_fields: as in :class:`BaseModel`.
        tasks: the T tasks, as :class:`Task` or plain tuples.

    Raises:
        ValueError: there are no tasks, or a task is after something other than an earlier task
            with labels 0 and 1.

    Example:
        >>> import torch
        >>> from base_models import SharedBottom  # a MultiTaskModel
        >>> model = SharedBottom(4, [0, 1], tasks=[(None,), (0,)])
        >>> rows = torch.tensor([[1, 2], [1, 3]]), torch.ones(2, 2)
        >>> model.losses(rows, labels=torch.tensor([[1.0, 0.0], [0.0, torch.nan]])).penalty.item()
        0.0
        >>> model.parameter_groups()["embedding"]
        ('embedding.weight',)
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
            batch: ids and values, ``[B, C]``.
            labels: float ``[B, T]``, nan where a task is not observed.
        """
        logits = self(batch)
        return TaskLosses(observed_losses(logits, labels, self.tasks), logits.new_zeros(()))

    def counted(self, labels: Tensor) -> Tensor:
        """Mask of the rows that each task's mean loss averages over: bool ``[B, T]``.

        Workers that share a batch use it to weight the losses of their rows. Override it together
        with :meth:`losses` if other rows count.

        Args:
            labels: float ``[B, T]``, nan where a task is not observed.
        """
        return ~labels.isnan()

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        """Names of all parameters by group: embedding (the tables), shared, task-0 to task-(T-1).

        A group may be empty.
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
    """Mean loss of each task where it is observed: logloss, or squared error if it is numeric.

    Args:
        outputs: ``[B, T]``.
        labels: ``[B, T]``, nan where a task is not observed.

    Returns:
        ``[T]``; 0, still in the graph, if nothing is observed.
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
    """Mean loss per task ``[T]``, from losses and labels ``[B, T]``, where the label is not nan."""
    observed = ~labels.isnan()
    return torch.where(observed, losses, 0.0).sum(-2) / observed.sum(-2).clamp_min(1)


def labelled_mean(values: Tensor, labels: Tensor) -> Tensor:
    """Mean of the values ``[B]`` over rows in which any label ``[B, T]`` is not nan: a scalar."""
    labelled = ~labels.isnan().all(-1)
    return torch.where(labelled, values, 0.0).sum(-1) / labelled.sum(-1).clamp_min(1)

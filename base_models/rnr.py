"""Rank and Rate: which items a user chooses, and how they rate them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from base_models.contract import (
    Batch,
    MultiTaskModel,
    Task,
    TaskLosses,
    labelled_mean,
    observed_losses,
)
from base_models.layers import Embedding, Linear, field_slots, pick


class RnR(MultiTaskModel):
    """Which items a user chooses, and how they rate them (Hadash et al., "Rank and Rate", 2018).

    A user chooses an item by its appearance: task 0 has the logit ``s = <p_user, q_item>``. After
    trying it they see it differently, ``q' = q_item + d_item``, and rate it: task 1, after task 0,
    is ``r = mu + b_user + b_item + <phi(p_user), phi(q')>`` with ``phi(a) = tanh(W a + b)`` and the
    same W for both. The losses are ``rank_weight`` times the logloss of s and ``1 - rank_weight``
    times the squared error of r. The penalty is ``regularization * (|p|^2 + |q|^2) +
    deviation_regularization * |d|^2``.

    This is a reconstruction of the RecSys 2018 paper, which ranks by raw embeddings, rates through
    a matrix of item deviations and one layer with tied parameters, and minimises a weighted joint
    loss with regularisation. The equations in between are ours, and so are tanh and the start at
    d = 0. Deviations: if task 1 is not numeric, r is a logit and its loss the logloss; squared
    lengths are averaged over rows, not summed over the tables. Only the user and the item field are
    read.

    Args:
        user_field, item_field: indices of the user and the item field.
        embedding_size: D.
        rank_weight: from 0 (rate only) to 1 (rank only).
        regularization: penalty on the vectors of users and items.
        deviation_regularization: penalty on the items' deviations.

    Raises:
        ValueError: the tasks are not a pair whose second is after the first, or the weight is out
            of range.

    Example:
        >>> import torch
        >>> from base_models import RnR, Task
        >>> tasks = [Task(), Task(after=0, numeric=True)]  # chosen, then rated
        >>> model = RnR(4, [0, 1], tasks, user_field=0, item_field=1)
        >>> choice, rating = model((torch.tensor([[1, 3]]), torch.ones(1, 2))).unbind(-1)
        >>> choice.shape, rating.shape
        (torch.Size([1]), torch.Size([1]))
    """

    tables = ("embedding.weight", "deviation.weight", "linear.weight")
    fields: ClassVar = {"user_field": "user", "item_field": "item"}

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        user_field: int,
        item_field: int,
        embedding_size: int = 16,
        rank_weight: float = 0.5,
        regularization: float = 1e-4,
        deviation_regularization: float = 1e-3,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks)
        if [task.after for task in self.tasks] != [None, 0]:
            raise ValueError(
                "RnR needs two tasks, the second after the first: whether an item is chosen, and "
                "how it is rated; the data has other tasks"
            )
        if not 0 <= rank_weight <= 1:
            raise ValueError(f"rank_weight must be from 0 to 1, got {rank_weight}")
        self.user = field_slots(slot_fields, user_field)
        self.item = field_slots(slot_fields, item_field)
        self.rank_weight = rank_weight
        self.regularization = regularization
        self.deviation_regularization = deviation_regularization
        self.embedding = Embedding(num_ids, embedding_size)
        self.deviation = Embedding(num_ids, embedding_size)
        nn.init.zeros_(self.deviation.weight)
        self.linear = Linear(num_ids)
        self.transform = nn.Linear(embedding_size, embedding_size)

    def forward(self, batch: Batch) -> Tensor:
        """Logit of the choice, and the rating, ``[..., B, 2]``."""
        return self._outputs(batch, *self._vectors(batch))

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Weighted mean loss of each task where it is observed, and the regularisation.

        The regularisation is a mean over the rows with any known label. Labels as in the base
        class.
        """
        user, item, deviation = self._vectors(batch)
        outputs = self._outputs(batch, user, item, deviation)
        weights = outputs.new_tensor([self.rank_weight, 1 - self.rank_weight])
        lengths = self.regularization * ((user * user).sum(-1) + (item * item).sum(-1))
        lengths = lengths + self.deviation_regularization * (deviation * deviation).sum(-1)
        return TaskLosses(
            weights * observed_losses(outputs, labels, self.tasks), labelled_mean(lengths, labels)
        )

    def parameter_groups(self) -> dict[str, tuple[str, ...]]:
        """As in the base class; every parameter outside the tables belongs to the rating."""
        rate = ("linear.bias", "transform.weight", "transform.bias")
        return {"embedding": self.tables, "shared": (), "task-0": (), "task-1": rate}

    def _vectors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors p, q and d of each row, ``[..., B, D]`` each."""
        user, item = pick(batch, self.user), pick(batch, self.item)
        return self.embedding(*user), self.embedding(*item), self.deviation(*item)

    def _outputs(self, batch: Batch, user: Tensor, item: Tensor, deviation: Tensor) -> Tensor:
        ids, values = (
            torch.cat([part[..., self.user], part[..., self.item]], dim=-1) for part in batch
        )
        effects = self.linear(ids, values)  # mu + b_user + b_item
        phi_user = torch.tanh(self.transform(user))
        phi_item = torch.tanh(self.transform(item + deviation))
        rating = effects + (phi_user * phi_item).sum(-1)
        return torch.stack([(user * item).sum(-1), rating], dim=-1)

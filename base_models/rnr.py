"""Rank and Rate."""

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
    """RnR (Hadash et al., "Rank and rate", RecSys 2018): a user takes an item, and then rates it.

    A user takes an item by its looks, ``s = <p_user, q_item>``, the logit of task 0. Having had it,
    they see it otherwise, ``q' = q_item + d_item``, and rate it, which is task 1, after task 0:
    ``r = mu + b_user + b_item + <phi(p_user), phi(q')>`` with ``phi(a) = tanh(W a + b)``, of the
    same W for both. The losses are ``rank_weight`` times the logloss of s and ``1 - rank_weight``
    times the squared error of r; the penalty is ``regularization * (|p|^2 + |q|^2) +
    deviation_regularization * |d|^2``.

    This is our reconstruction: the paper has raw embeddings to rank by, a matrix of the items'
    deviations and one layer with tied parameters to rate by, and a weighted joint loss with
    regularisation; the equations in between are ours, and so are tanh and a start at d = 0. Where
    we deviate: if task 1 is not numeric, r is a logit and its loss the logloss; squared lengths
    are a mean over the rows, not a sum over the tables. Only the user's and the item's field are
    read.

    Args:
        user_field, item_field: which fields are the user and the item.
        embedding_size: D.
        rank_weight: from 0, only rate, to 1, only rank.
        regularization: of the users' and items' vectors.
        deviation_regularization: of the items' deviations.

    Raises:
        ValueError: the tasks are not one of 0 and 1 and another one after it, or the weight is out
            of range.
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
                "RnR needs two tasks, the second after the first: whether an item is taken, and "
                "how it is rated; these data have others"
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
        """Logit and rating, ``[..., B, 2]``."""
        return self._outputs(batch, *self._vectors(batch))

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Weighted mean loss of each task where it is observed, and the regularisation.

        That is a mean over rows of which any label is known; labels as of the base class.
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
        """As of the base class; all that is no table serves to rate."""
        rate = ("linear.bias", "transform.weight", "transform.bias")
        return {"embedding": self.tables, "shared": (), "task-0": (), "task-1": rate}

    def _vectors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """p, q and d of every row, ``[..., B, D]``."""
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

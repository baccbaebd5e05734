"""The control of multi-task models: the same network for each task alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from base_models.contract import BaseModel, Batch, Task
from base_models.layers import FieldEmbedding, mlp
from base_models.per_task import PerTask


class SingleTask(PerTask):
    """For each task an embedding, a bottom and a tower of its own.

    Each is :class:`~base_models.shared_bottom.SharedBottom` of one task, so that what the two
    differ in is sharing.

    Args:
        embedding_size: D.
        bottom_sizes, tower_sizes: widths of the hidden layers of the bottom and of the tower.
        dropout: after every hidden layer, 0 to 1.
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int = 16,
        bottom_sizes: Sequence[int] = (64,),
        tower_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
    ) -> None:
        sizes = (*bottom_sizes, *tower_sizes)
        make = partial(_Network, num_ids, slot_fields, embedding_size, sizes, dropout)
        super().__init__(num_ids, slot_fields, tasks, make)


class _Network(BaseModel):
    """An MLP on the field embeddings."""

    tables = ("embedding.weight",)

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        embedding_size: int,
        hidden_sizes: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.embedding = FieldEmbedding(num_ids, embedding_size, slot_fields)
        self.mlp = mlp([self.num_fields * embedding_size, *hidden_sizes], dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        return self.mlp(self.embedding(*batch).flatten(-2)).squeeze(
            -1
        )  # [..., B, F * D] to [..., B]

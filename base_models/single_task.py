"""The control for multi-task models: a separate network for each task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from base_models.contract import BaseModel, Batch, Task
from base_models.layers import FieldEmbedding, mlp
from base_models.per_task import PerTask


class SingleTask(PerTask):
    """Separate embedding, bottom and tower for each task.

    Each network is :class:`~base_models.shared_bottom.SharedBottom` with one task, so the two
    models differ in sharing only.

    Args:
        embedding_size: D.
        bottom_sizes, tower_sizes: hidden layer widths of the bottom and of the tower.
        dropout: after each hidden layer, 0 to 1.

    Example:
        >>> from base_models import SingleTask, Task
        >>> SingleTask(4, [0, 1], tasks=[Task(), Task(numeric=True)]).tables
        ('models.0.embedding.weight', 'models.1.embedding.weight')
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
        fields = self.embedding(*batch).flatten(-2)  # [..., B, F * D]
        return self.mlp(fields).squeeze(-1)

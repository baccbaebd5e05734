"""Shared-Bottom."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.blocks import EmbeddedTasks, Previous, Towers
from base_models.contract import Batch, Task
from base_models.layers import hidden


class SharedBottom(EmbeddedTasks):
    """Shared-Bottom (Caruana, "Multitask learning", Machine Learning 1997): ``h_t(f(x))``.

    f is an MLP that all tasks share, h_t an MLP for each task, x the field embeddings.

    Args:
        embedding_size: D.
        bottom_sizes: widths of f's layers.
        tower_sizes: widths of the hidden layers of each h_t.
        dropout: after every hidden layer, 0 to 1.
        previous: how a task reads the prediction of the one before it, see
            :class:`~base_models.blocks.Towers`.
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
        previous: Previous | None = None,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        sizes = [self.inputs, *bottom_sizes]
        self.bottom = hidden(sizes, dropout)
        self.towers = Towers(self.tasks, sizes[-1], tower_sizes, dropout, previous)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        shared = self.bottom(self.embed(batch))
        return self.towers([self.towers.shield(t, shared) for t in range(len(self.tasks))])

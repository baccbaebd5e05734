"""Shared-Bottom."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.blocks import EmbeddedTasks, Previous, Towers
from base_models.contract import Batch, Task
from base_models.layers import hidden


class SharedBottom(EmbeddedTasks):
    """One MLP that all tasks share and an MLP per task: ``logit_t = h_t(f(x))``.

    Caruana, "Multitask learning", Machine Learning 1997. f is the shared bottom, h_t the tower of
    task t, and x the field embeddings.

    Args:
        embedding_size: D.
        bottom_sizes: layer widths of f.
        tower_sizes: hidden layer widths of each h_t.
        dropout: after each hidden layer, 0 to 1.
        previous: how a task reads the one before it, see :class:`~base_models.blocks.Towers`.

    Example:
        >>> import torch
        >>> from base_models import SharedBottom, Task
        >>> model = SharedBottom(4, [0, 1], tasks=[Task(), Task(after=0)])
        >>> model((torch.tensor([[1, 2], [1, 3], [2, 3]]), torch.ones(3, 2))).shape
        torch.Size([3, 2])
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

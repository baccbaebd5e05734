"""Progressive layered extraction."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from base_models.blocks import EmbeddedTasks, Previous, Towers
from base_models.cgc import Extraction
from base_models.contract import Batch, Task


class PLE(EmbeddedTasks):
    """PLE (Tang et al., RecSys 2020, 4.2): levels of :class:`~base_models.cgc.Extraction`.

    There is a stream for each task and a shared one, all starting as the field embeddings x. On
    each level the experts of a task, and its gate, read its stream, the shared experts and the
    shared gate the shared one. A task's gate mixes its own and the shared experts, the shared gate
    those of all tasks and the shared ones; the last level has no shared gate, which nothing would
    read. The towers read the tasks' last streams. One level is CGC.

    The paper's joint loss, over the union of the tasks' sample spaces, is what
    :meth:`~base_models.contract.MultiTaskModel.losses` gives; its decaying weights are the
    trainer's.

    Args:
        embedding_size: D.
        levels: 1 or more.
        task_experts, shared_experts: how many each task has, and they share, on each level.
        expert_sizes: widths of each expert's layers.
        tower_sizes: widths of the hidden layers of each tower.
        dropout: after every hidden layer, 0 to 1.
        previous: how a task reads the prediction of the one before it, see
            :class:`~base_models.blocks.Towers`. On all but the last level the shared gate reads
            every task's experts, so that the loss of any task moves them if it is not isolated.
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int = 16,
        levels: int = 2,
        task_experts: int = 2,
        shared_experts: int = 2,
        expert_sizes: Sequence[int] = (64,),
        tower_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
        previous: Previous | None = None,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        if levels < 1:
            raise ValueError(f"levels must be 1 or more, got {levels}")
        self.levels = nn.ModuleList(
            Extraction(
                len(self.tasks),
                expert_sizes[-1] if level else self.inputs,
                task_experts,
                shared_experts,
                expert_sizes,
                dropout,
                shared_gate=level < levels - 1,
            )
            for level in range(levels)
        )
        self.towers = Towers(self.tasks, expert_sizes[-1], tower_sizes, dropout, previous)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        shared, shield = self.embed(batch), self.towers.shield
        streams = [shield(t, shared) for t in range(len(self.tasks))]
        for level in self.levels:
            streams, shared = level(streams, shared, shield)
        return self.towers(streams)

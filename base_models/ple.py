"""Progressive Layered Extraction."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from base_models.blocks import EmbeddedTasks, Previous, Towers
from base_models.cgc import Extraction
from base_models.contract import Batch, Task


class PLE(EmbeddedTasks):
    """Stacked levels of task-specific and shared experts (Tang et al., RecSys 2020, section 4.2).

    Each task has a stream and there is a shared one; all start as the field embeddings x. Each
    level is an :class:`~base_models.cgc.Extraction`: the experts and the gate of a task read its
    stream, the shared experts and the shared gate read the shared stream. The gate of a task mixes
    its own and the shared experts; the shared gate mixes all experts. The last level has no shared
    gate, since nothing would read it. The towers read the final streams of the tasks. With one
    level, PLE is CGC.

    The paper's joint loss over the union of the tasks' sample spaces is
    :meth:`~base_models.contract.MultiTaskModel.losses`. Its decaying loss weights are up to the
    training loop.

    Args:
        embedding_size: D.
        levels: number of levels, at least 1.
        task_experts, shared_experts: experts on each level, per task and shared.
        expert_sizes: layer widths of each expert.
        tower_sizes: hidden layer widths of each tower.
        dropout: after each hidden layer, 0 to 1.
        previous: how a task reads the one before it, see
            :class:`~base_models.blocks.Towers`. Except on the last level, the shared gate reads
            the experts of every task, so the loss of any task that is not isolated updates them.

    Example:
        >>> from base_models import PLE, Task
        >>> model = PLE(4, [0, 1], tasks=[Task(), Task(after=0)], levels=3)
        >>> [level.shared_gate is not None for level in model.levels]
        [True, True, False]
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

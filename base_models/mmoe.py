"""Multi-gate mixture of experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from base_models.blocks import EmbeddedTasks, Experts, Previous, Towers, gate, mix
from base_models.contract import Batch, Task, TaskModules


class MMoE(EmbeddedTasks):
    """MMoE (Ma et al., KDD 2018, section 4.2): shared experts, and for each task a gate.

    ``z_t = sum_i softmax(W_t x)_i f_i(x)``, ``logit_t = h_t(z_t)``, with experts f_i and towers h_t
    that are MLPs and x the field embeddings. One gate for all tasks is the paper's OMoE.

    Args:
        embedding_size: D.
        experts: how many.
        expert_sizes: widths of each expert's layers.
        gates: ``"task"``, one for each task, or ``"one"``.
        tower_sizes: widths of the hidden layers of each tower.
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
        experts: int = 4,
        expert_sizes: Sequence[int] = (64,),
        gates: Literal["task", "one"] = "task",
        tower_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
        previous: Previous | None = None,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        if gates not in ("task", "one"):
            raise ValueError(f"gates must be task or one, got {gates!r}")
        self.experts = Experts(experts, self.inputs, expert_sizes, dropout)
        self.gate = gate(self.inputs, experts) if gates == "one" else None
        of_tasks = () if self.gate else self.tasks
        self.gates = TaskModules(gate(self.inputs, experts) for _ in of_tasks)
        self.towers = Towers(self.tasks, expert_sizes[-1], tower_sizes, dropout, previous)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        x = self.embed(batch)
        experts = self.experts(x)  # [..., B, n, H]
        shield = self.towers.shield
        if self.gate is not None:
            mixed = mix(self.gate(x), experts)
            return self.towers([shield(t, mixed) for t in range(len(self.tasks))])
        return self.towers(
            [mix(own(shield(t, x)), shield(t, experts)) for t, own in enumerate(self.gates)]
        )

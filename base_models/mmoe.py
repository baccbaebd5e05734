"""Multi-gate mixture-of-experts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from base_models.blocks import EmbeddedTasks, Experts, Previous, Towers, gate, mix
from base_models.contract import Batch, Task, TaskModules


class MMoE(EmbeddedTasks):
    """Shared experts and one gate per task (Ma et al., "MMoE", KDD 2018, section 4.2).

    ``z_t = sum_i softmax(W_t x)_i f_i(x)`` and ``logit_t = h_t(z_t)``. Experts f_i and towers h_t
    are MLPs, x the field embeddings. One gate for all tasks is the paper's OMoE.

    Args:
        embedding_size: D.
        experts: number of experts.
        expert_sizes: layer widths of each expert.
        gates: ``"task"`` for one gate per task, ``"one"`` for a single gate.
        tower_sizes: hidden layer widths of each tower.
        dropout: after each hidden layer, 0 to 1.
        previous: how a task reads the one before it, see :class:`~base_models.blocks.Towers`.

    Example:
        >>> from base_models import MMoE, Task
        >>> model = MMoE(num_ids=4, slot_fields=[0, 1], tasks=[Task()] * 3, experts=5)
        >>> [tuple(gate.weight.shape) for gate in model.gates]  # 5 experts, 2 fields of size 16
        [(5, 32), (5, 32), (5, 32)]
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

"""Customized Gate Control."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from base_models.blocks import EmbeddedTasks, Experts, Previous, Towers, gate, mix
from base_models.contract import Batch, Task, TaskModules


class Extraction(nn.Module):
    """Experts of each task, shared experts, and gates that mix them.

    Task t gets ``sum_i softmax(W_t s_t)_i E_{t,i}``, where E_t are its own experts, which read its
    stream s_t, and the shared experts, which read the shared stream s. The shared gate
    ``softmax(W s)``, if any, mixes the experts of all tasks and the shared ones.

    Args:
        tasks: T.
        inputs: width of the streams.
        task_experts: experts per task.
        shared_experts: shared experts; with 0 there is no shared stream.
        sizes: layer widths of each expert; the last one is H.
        dropout: after each layer of the experts, 0 to 1.
        shared_gate: whether to also return a shared stream.
    """

    def __init__(
        self,
        tasks: int,
        inputs: int,
        task_experts: int,
        shared_experts: int,
        sizes: Sequence[int],
        dropout: float,
        shared_gate: bool,
    ) -> None:
        super().__init__()
        if shared_experts < 0:
            raise ValueError(f"shared_experts must be 0 or more, got {shared_experts}")
        count = task_experts + shared_experts
        self.experts = TaskModules(
            Experts(task_experts, inputs, sizes, dropout) for _ in range(tasks)
        )
        self.gates = TaskModules(gate(inputs, count) for _ in range(tasks))
        self.shared = Experts(shared_experts, inputs, sizes, dropout) if shared_experts else None
        self.shared_gate: nn.Module | None = None
        if shared_gate and shared_experts:
            self.shared_gate = gate(inputs, tasks * task_experts + shared_experts)

    def forward(
        self, streams: Sequence[Tensor], shared: Tensor, shield: Callable[[int, Tensor], Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Map each stream ``[..., B, inputs]`` to the next one ``[..., B, H]``.

        Args:
            streams: one stream per task.
            shared: the shared stream, returned unchanged if there is no shared gate.
            shield: how a task reads something shared, see
                :meth:`~base_models.blocks.Towers.shield`.

        Returns:
            The streams of the tasks, and the shared one.
        """
        own = [experts(s) for experts, s in zip(self.experts, streams, strict=True)]
        common = [] if self.shared is None else [self.shared(shared)]  # [..., B, n, H]
        following = [
            mix(score(s), torch.cat([own[t], *(shield(t, part) for part in common)], dim=-2))
            for t, (score, s) in enumerate(zip(self.gates, streams, strict=True))
        ]
        if self.shared_gate is not None:
            shared = mix(self.shared_gate(shared), torch.cat([*own, *common], dim=-2))
        return following, shared


class CGC(EmbeddedTasks):
    """Experts per task and shared ones, mixed by a gate per task.

    Tang et al., "Progressive Layered Extraction", RecSys 2020, section 4.1. The gate of a task
    mixes its own and the shared experts (:class:`Extraction`), and its tower reads the mixture.
    Experts and gates read the field embeddings x.

    Args:
        embedding_size: D.
        task_experts: experts per task.
        shared_experts: shared experts; with 0 the tasks share only x.
        expert_sizes: layer widths of each expert.
        tower_sizes: hidden layer widths of each tower.
        dropout: after each hidden layer, 0 to 1.
        previous: how a task reads the one before it, see :class:`~base_models.blocks.Towers`.

    Example:
        >>> from base_models import CGC, Task
        >>> model = CGC(4, [0, 1], tasks=[Task(), Task(after=0)], task_experts=1, shared_experts=3)
        >>> [gate.weight.shape[0] for gate in model.extraction.gates]  # experts that a task mixes
        [4, 4]
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int = 16,
        task_experts: int = 2,
        shared_experts: int = 2,
        expert_sizes: Sequence[int] = (64,),
        tower_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
        previous: Previous | None = None,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        self.extraction = Extraction(
            len(self.tasks),
            self.inputs,
            task_experts,
            shared_experts,
            expert_sizes,
            dropout,
            shared_gate=False,
        )
        self.towers = Towers(self.tasks, expert_sizes[-1], tower_sizes, dropout, previous)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        x, shield = self.embed(batch), self.towers.shield
        streams = [shield(t, x) for t in range(len(self.tasks))]
        return self.towers(self.extraction(streams, x, shield)[0])

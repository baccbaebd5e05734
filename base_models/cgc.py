"""Customized gate control."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from base_models.blocks import EmbeddedTasks, Experts, Previous, Towers, gate, mix
from base_models.contract import Batch, Task, TaskModules


class Extraction(nn.Module):
    """Experts of each task and of all, and gates that mix them.

    Task t gets ``sum_i softmax(W_t s_t)_i E_{t,i}``, E_t being its own experts, which read its
    stream s_t, and the shared ones, which read the shared stream s. The shared gate, if any, mixes
    *all* experts, of all tasks and shared: ``softmax(W s)``.

    Args:
        tasks: T.
        inputs: width of the streams.
        task_experts: how many each task has.
        shared_experts: how many are shared; with none there is no shared stream.
        sizes: widths of each expert's layers, the last one is H.
        shared_gate: whether to return a shared stream too.
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
        """The next streams, ``[..., B, H]`` each, from these, ``[..., B, inputs]`` each.

        Args:
            streams: those of the tasks.
            shared: the shared one; it is returned as it is if there is no shared gate.
            shield: what a task sees of what is shared, :meth:`~base_models.blocks.Towers.shield`.
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
    """CGC (Tang et al., "Progressive layered extraction", RecSys 2020, 4.1).

    Each task has experts of its own and all share some; its gate mixes both (:class:`Extraction`)
    and its tower reads the mixture. Everything starts from the field embeddings x.

    Args:
        embedding_size: D.
        task_experts: how many each task has.
        shared_experts: how many they share; 0 leaves the tasks nothing but x in common.
        expert_sizes: widths of each expert's layers.
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

"""Attention between fields, between tasks, and from tasks to fields."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base_models.blocks import EmbeddedTasks, SelfAttention, Towers
from base_models.contract import Batch, Task


class MRAN(EmbeddedTasks):
    """Attention between fields, between tasks, and from tasks to fields (after MRAN, KDD 2019).

    ``H = norm(E + attention(E))`` for the field embeddings E ``[B, F, D]``,
    ``Z = norm(C + attention(C))`` for learned task tokens C ``[T, D]``, and
    ``A = softmax_F(Z W_q (H W_k)^T / sqrt(D))`` ``[B, T, F]`` from tasks to fields. The tower of
    task t, two layers by default, reads ``norm(flatten(A_t * H) + flatten(H))``.

    This is a reconstruction of Zhao et al., "Multiple Relational Attention Network for Multi-task
    Learning", KDD 2019; the equations are ours. The paper has the three attentions, residuals and
    batch normalisation. Its attention between tasks reads the label matrix, which a prediction must
    not see; learned tokens replace it. We also use layer normalisation, since a model that adapts
    per user cannot keep running statistics.

    Args:
        embedding_size: D.
        heads: heads of the attention between fields and between tasks; must divide D.
        tower_sizes: hidden layer widths of each tower.
        dropout: after each hidden layer of the towers, 0 to 1.

    Example:
        >>> from base_models import MRAN, Task
        >>> model = MRAN(4, [0, 1], tasks=[Task(), Task()], embedding_size=8, heads=4)
        >>> tuple(model.tokens.shape)
        (2, 8)
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int = 16,
        heads: int = 2,
        tower_sizes: Sequence[int] = (64,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        self.between_fields = SelfAttention(embedding_size, heads)
        self.field_norm = nn.LayerNorm(embedding_size)
        self.tokens = nn.Parameter(torch.randn(len(self.tasks), embedding_size))
        self.between_tasks = SelfAttention(embedding_size, heads)
        self.task_norm = nn.LayerNorm(embedding_size)
        self.queries = nn.Linear(embedding_size, embedding_size, bias=False)
        self.keys = nn.Linear(embedding_size, embedding_size, bias=False)
        self.norm = nn.LayerNorm(self.inputs)
        self.towers = Towers(self.tasks, self.inputs, tower_sizes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        fields = self.embedding(*batch)  # [..., B, F, D]
        fields = self.field_norm(fields + self.between_fields(fields))
        tasks = self.task_norm(self.tokens + self.between_tasks(self.tokens))  # [T, D]
        scores = self.queries(tasks) @ self.keys(fields).mT * fields.shape[-1] ** -0.5
        attention = scores.softmax(-1).unsqueeze(-1)  # [..., B, T, F, 1]
        seen = (attention * fields.unsqueeze(-3)).flatten(-2)  # [..., B, T, F * D]
        return self.towers(self.norm(seen + fields.flatten(-2).unsqueeze(-2)).unbind(-2))

"""Attention between fields, between tasks, and of tasks to fields."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from base_models.blocks import SelfAttention, Towers
from base_models.contract import Batch, MultiTaskModel, Task
from base_models.layers import FieldEmbedding


class MRAN(MultiTaskModel):
    """In the style of MRAN (Zhao et al., KDD 2019): three attentions, each with a residual.

    ``H = norm(E + attention(E))`` of the field embeddings E ``[B, F, D]`` to each other,
    ``Z = norm(C + attention(C))`` of learned task tokens C ``[T, D]`` to each other, and of tasks
    to fields ``A = softmax_F(Z W_q (H W_k)^T / sqrt(D))``, ``[B, T, F]``. Task t's tower, of two
    layers by default, reads ``norm(flatten(A_t * H) + flatten(H))``.

    This is our reconstruction. The paper has the three attentions, residuals and batch
    normalisation; its attention between tasks works on the matrix of labels, which a prediction
    must not see, so tokens take its place, and the equations are ours. Where we deviate besides:
    layer normalisation, as a model that adapts per user can have no running statistics.

    Args:
        embedding_size: D.
        heads: of the attentions between fields and between tasks; must divide D.
        tower_sizes: widths of the hidden layers of each tower.
        dropout: after every hidden layer of the towers, 0 to 1.
    """

    tables = ("embedding.weight",)

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
        super().__init__(num_ids, slot_fields, tasks)
        inputs = self.num_fields * embedding_size
        self.embedding = FieldEmbedding(num_ids, embedding_size, slot_fields)
        self.between_fields = SelfAttention(embedding_size, heads)
        self.field_norm = nn.LayerNorm(embedding_size)
        self.tokens = nn.Parameter(torch.randn(len(self.tasks), embedding_size))
        self.between_tasks = SelfAttention(embedding_size, heads)
        self.task_norm = nn.LayerNorm(embedding_size)
        self.queries = nn.Linear(embedding_size, embedding_size, bias=False)
        self.keys = nn.Linear(embedding_size, embedding_size, bias=False)
        self.norm = nn.LayerNorm(inputs)
        self.towers = Towers(self.tasks, inputs, tower_sizes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        fields = self.embedding(*batch)  # [..., B, F, D]
        fields = self.field_norm(fields + self.between_fields(fields))
        tasks = self.task_norm(self.tokens + self.between_tasks(self.tokens))  # [T, D]
        scores = self.queries(tasks) @ self.keys(fields).mT * fields.shape[-1] ** -0.5
        attention = scores.softmax(-1).unsqueeze(-1)  # [..., B, T, F, 1]
        seen = (attention * fields.unsqueeze(-3)).flatten(-2)  # [..., B, T, F * D]
        return self.towers(self.norm(seen + fields.flatten(-2).unsqueeze(-2)).unbind(-2))

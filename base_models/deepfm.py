"""DeepFM."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import FieldEmbedding, Linear, mlp, pairwise


class DeepFM(BaseModel):
    """Linear term, FM and MLP on shared field embeddings (Guo et al., IJCAI 2017, Eqs. 1-4).

    Slots are pooled into fields first, so the FM part crosses fields, not the words of one field.

    Args:
        embedding_size: D.
        hidden_sizes: widths of the hidden layers of the MLP, whose input is F * D.
        dropout: after each hidden layer, 0 to 1.

    Example:
        >>> import torch
        >>> from base_models import DeepFM
        >>> model = DeepFM(num_ids=6, slot_fields=[0, 1, 2, 2])  # the last field has two slots
        >>> model((torch.tensor([[1, 3, 4, 5]]), torch.tensor([[1, 1, 0.5, 0.5]]))).shape
        torch.Size([1])
    """

    tables = ("linear.weight", "embedding.weight")

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        embedding_size: int = 16,
        hidden_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.linear = Linear(num_ids)
        self.embedding = FieldEmbedding(num_ids, embedding_size, slot_fields)
        self.mlp = mlp([self.num_fields * embedding_size, *hidden_sizes], dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        fields = self.embedding(*batch)  # [..., B, F, D]
        deep = self.mlp(fields.flatten(-2)).squeeze(-1)  # [..., B, F * D] to [..., B]
        return self.linear(*batch) + pairwise(fields) + deep

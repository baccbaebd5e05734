"""Attention over the history, aware of its order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models.contract import BaseModel, Batch
from base_models.layers import EMBEDDING_STD, Embedding, Linear, field_slots, mlp, pick


class SequenceAttention(BaseModel):
    """Attention from the item to the user's history: DIN (Zhou et al., KDD 2018, Eq. 3).

    ``logit = b + sum_c v_c w[id_c] + MLP(s, e_item, s * e_item)`` with the user's interest
    ``s = sum_j v_j a(h_j, e_item, h_j * e_item) h_j`` over the slots j of the history, newest
    first. ``h_j`` is the embedding of the item in slot j plus that of position j. The attention a
    is an MLP too. As in the paper it is not normalised, so it can express how strong an interest
    is.

    Deviations: the paper has no positions; the values v_j are 1/n for n liked items, so the sum is
    a mean; the MLP reads item and history only; ReLU replaces Dice.

    Args:
        item_field: index of the item field.
        history_field: index of the field with the items that the user liked, newest first.
        embedding_size: D.
        length: number of history items to read, the newest ones.
        attention_size: width of the hidden layer of a.
        hidden_sizes: widths of the hidden layers of the MLP, whose input is 3 * D; if empty, the
            MLP is one linear layer.
        dropout: after each hidden layer of the MLP, 0 to 1.

    Example:
        >>> import torch
        >>> from base_models import SequenceAttention
        >>> model = SequenceAttention(7, slot_fields=[0, 1, 1, 1], item_field=0, history_field=1)
        >>> two_liked = torch.tensor([[1, 5, 6, 0]]), torch.tensor([[1, 0.5, 0.5, 0]])
        >>> model(two_liked).shape
        torch.Size([1])
    """

    tables = ("linear.weight", "embedding.weight")
    fields: ClassVar = {"item_field": "item", "history_field": "history_items"}

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        item_field: int,
        history_field: int,
        embedding_size: int = 16,
        length: int = 20,
        attention_size: int = 16,
        hidden_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.item = field_slots(slot_fields, item_field)
        history = field_slots(slot_fields, history_field)
        self.history = slice(history.start, min(history.stop, history.start + length))
        self.linear = Linear(num_ids)
        self.embedding = Embedding(num_ids, embedding_size)
        self.positions = nn.Parameter(torch.randn(length, embedding_size) * EMBEDDING_STD)
        self.attention = mlp([3 * embedding_size, attention_size])
        self.mlp = mlp([3 * embedding_size, *hidden_sizes], dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        item = self.embedding(*pick(batch, self.item))  # [..., B, D]
        ids, values = pick(batch, self.history)  # [..., B, J]
        liked = F.embedding(ids, self.embedding.weight)  # [..., B, J, D]
        liked = liked + self.positions[: ids.shape[-1]]
        weights = self.attention(_compared(liked, item.unsqueeze(-2))).squeeze(-1) * values
        interest = (weights.unsqueeze(-1) * liked).sum(-2)  # [..., B, D]
        deep = self.mlp(_compared(interest, item)).squeeze(-1)  # [..., B, 3 * D] to [..., B]
        return self.linear(*batch) + deep


def _compared(a: Tensor, b: Tensor) -> Tensor:
    """Concatenate a, b and a * b, each ``[..., D]``, to ``[..., 3 * D]``; `b` is broadcast."""
    return torch.cat([a, b.expand_as(a), a * b], dim=-1)

"""The pieces that several base models share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise as neighbours

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EMBEDDING_STD = 0.01


class Linear(nn.Module):
    """First-order term ``bias + sum_c v_c w[id_c]`` (one weight an id)."""

    def __init__(self, num_ids: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_ids, 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        weights = F.embedding(ids, self.weight).squeeze(-1)  # [..., B, C]
        return (weights * values).sum(-1) + self.bias


class SlotEmbedding(nn.Module):
    """One vector an id, scaled by the slot's value: ``[..., B, C, D]``."""

    def __init__(self, num_ids: int, embedding_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_ids, embedding_size) * EMBEDDING_STD)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        return F.embedding(ids, self.weight) * values.unsqueeze(-1)


class FieldPooling(nn.Module):
    """Sum the slots of every field: ``[..., B, C, D]`` to ``[..., B, F, D]``."""

    membership: Tensor

    def __init__(self, slot_fields: Sequence[int]) -> None:
        super().__init__()
        fields = torch.as_tensor(list(slot_fields))
        membership = F.one_hot(fields).T.float()  # [F, C], one 1 a column
        self.register_buffer("membership", membership, persistent=False)

    def forward(self, slots: Tensor) -> Tensor:
        return self.membership.to(slots.dtype) @ slots


def pairwise(vectors: Tensor) -> Tensor:
    """Sum of inner products over all pairs i < j: ``[..., n, D]`` to ``[...]``, in O(n D).

    Rendle, "Factorization Machines", ICDM 2010, Lemma 3.1.
    """
    total = vectors.sum(-2)
    return 0.5 * (total.square() - vectors.square().sum(-2)).sum(-1)


def mlp(sizes: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers through `sizes`, ReLU and dropout after each, and a final one to a scalar."""
    layers: list[nn.Module] = []
    for inputs, outputs in neighbours(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    layers.append(nn.Linear(sizes[-1], 1))
    return nn.Sequential(*layers)

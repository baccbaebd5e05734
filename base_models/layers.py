"""Layers that several base models share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise as neighbours

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models.contract import Batch

EMBEDDING_STD = 0.01


def weighted_sum(table: Tensor, ids: Tensor, values: Tensor) -> Tensor:
    """``sum_c values_c * table[ids_c]`` over a row's slots: ``[..., B, C]`` to ``[..., B, D]``.

    Args:
        table: ``[V, D]``.
    """
    if ids.ndim == 2:  # views of it would take time in each pass and its derivatives
        return F.embedding_bag(ids, table, mode="sum", per_sample_weights=values)
    slots = ids.shape[-1]
    rows = F.embedding_bag(
        ids.reshape(-1, slots), table, mode="sum", per_sample_weights=values.reshape(-1, slots)
    )
    return rows.view(*ids.shape[:-1], table.shape[-1])


def field_slots(slot_fields: Sequence[int], field: int) -> slice:
    """Positions of the adjacent slots of `field` in a row."""
    first = list(slot_fields).index(field)
    return slice(first, first + list(slot_fields).count(field))


def pick(batch: Batch, slots: slice) -> Batch:
    """Ids and values of these slots of every row."""
    ids, values = batch
    return ids[..., slots], values[..., slots]


class Linear(nn.Module):
    """First-order term ``bias + sum_c v_c w[id_c]`` with one weight per id, ``[..., B]``."""

    def __init__(self, num_ids: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_ids, 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        return weighted_sum(self.weight, ids, values).squeeze(-1) + self.bias


class Embedding(nn.Module):
    """One vector per id; the weighted sum over a row's slots, ``[..., B, D]``."""

    def __init__(self, num_ids: int, embedding_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_ids, embedding_size) * EMBEDDING_STD)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        return weighted_sum(self.weight, ids, values)


class FieldEmbedding(Embedding):
    """One vector per id; the weighted sum over each field's slots, ``[..., B, F, D]``.

    Args:
        num_ids: rows of the table (V).
        embedding_size: D.
        slot_fields: field index of each slot, length C; the slots of a field must be adjacent.
    """

    first_slots: Tensor

    def __init__(self, num_ids: int, embedding_size: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, embedding_size)
        fields = torch.as_tensor(list(slot_fields))
        if (fields.diff() < 0).any():
            raise ValueError(f"slots of a field must be adjacent, got slot_fields {slot_fields}")
        first_slots = torch.searchsorted(fields, torch.arange(int(fields.max()) + 1))
        self.register_buffer("first_slots", first_slots, persistent=False)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        fields, size = len(self.first_slots), self.weight.shape[-1]
        row_starts = torch.arange(0, ids.numel(), ids.shape[-1], device=ids.device)
        pooled = F.embedding_bag(
            ids.reshape(-1),
            self.weight,
            (row_starts.unsqueeze(-1) + self.first_slots).view(-1),
            mode="sum",
            per_sample_weights=values.reshape(-1),
        )
        return pooled.view(*ids.shape[:-1], fields, size)


def pairwise(vectors: Tensor) -> Tensor:
    """Sum of inner products over all pairs i < j: ``[..., n, D]`` to ``[...]``, in O(n D).

    Rendle, "Factorization Machines", ICDM 2010, Lemma 3.1.
    """
    total = vectors.sum(-2)
    flat = vectors.flatten(-2)
    # x * x, since the derivatives of x.square() take twice as long.
    return 0.5 * ((total * total).sum(-1) - (flat * flat).sum(-1))


def hidden(sizes: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of the widths `sizes`, each followed by ReLU and dropout."""
    layers: list[nn.Module] = []
    for inputs, outputs in neighbours(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def mlp(sizes: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Hidden layers of the widths `sizes`, and a linear layer to a scalar."""
    return hidden(sizes, dropout).append(nn.Linear(sizes[-1], 1))

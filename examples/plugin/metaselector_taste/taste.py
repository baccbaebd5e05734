"""Matrix factorization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import BaseModel, Batch


class Taste(BaseModel):
    """Matrix factorization: ``bias + effect[user] + effect[item] + <taste[user], taste[item]>``.

    Args:
        user_field, item_field: indices of the user and the item field, one slot each.
        size: length D of a taste vector.
    """

    tables = ("effect", "taste")
    fields: ClassVar = {"user_field": "user", "item_field": "item"}

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        user_field: int,
        item_field: int,
        size: int = 8,
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.slots = [list(slot_fields).index(field) for field in (user_field, item_field)]
        self.effect = nn.Parameter(torch.zeros(num_ids, 1))
        self.taste = nn.Parameter(torch.randn(num_ids, size) * 0.1)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        ids, values = (slots[..., self.slots] for slots in batch)  # [..., B, 2]
        effects = (F.embedding(ids, self.effect).squeeze(-1) * values).sum(-1)
        tastes = F.embedding(ids, self.taste) * values.unsqueeze(-1)  # [..., B, 2, D]
        return self.bias + effects + tastes.prod(-2).sum(-1)

"""Logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import Linear


class LR(BaseModel):
    """Logistic regression: ``logit = b + sum_c v_c w[id_c]`` over the slots c.

    Example:
        >>> import torch
        >>> from base_models import LR
        >>> ids = torch.tensor([[1, 3], [2, 3]])
        >>> LR(num_ids=4, slot_fields=[0, 1])((ids, torch.ones(2, 2))).shape
        torch.Size([2])
    """

    tables = ("linear.weight",)

    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.linear = Linear(num_ids)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        return self.linear(*batch)

"""Additive effects per user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import Embedding, Linear, field_slots, pick


class Additive(BaseModel):
    """Linear model in which each user has an additive low-rank effect for every id of the row.

    ``logit = b + sum_c v_c w[id_c] + <v_u e[id_u], sum_{c != u} v_c e[id_c]>``, where u is the
    user's slot. User u adds ``<e[id_u], e[id_c]>`` to the weight that id c has for everyone. This
    is the factorization machine (Rendle, ICDM 2010, Eq. 1) restricted to pairs that contain the
    user. With only a user and an item field it is matrix factorization with biases (Koren, Bell
    and Volinsky, IEEE Computer 2009, Eqs. 4 and 5).

    Args:
        user_field: index of the user field.
        embedding_size: D.

    Example:
        >>> import torch
        >>> from base_models import Additive
        >>> model = Additive(num_ids=5, slot_fields=[0, 1, 2], user_field=0)
        >>> model((torch.tensor([[1, 2, 4], [1, 3, 4]]), torch.ones(2, 3))).shape
        torch.Size([2])
    """

    tables = ("linear.weight", "embedding.weight")
    fields: ClassVar = {"user_field": "user"}

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        user_field: int,
        embedding_size: int = 16,
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.user = field_slots(slot_fields, user_field)
        self.linear = Linear(num_ids)
        self.embedding = Embedding(num_ids, embedding_size)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        user = self.embedding(*pick(batch, self.user))  # [..., B, D]
        others = self.embedding(*batch) - user
        return self.linear(*batch) + (user * others).sum(-1)

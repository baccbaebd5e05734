"""User-wise additive model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import Embedding, Linear, field_slots, pick


class Additive(BaseModel):
    """Every user has an own additive effect for every id of the row, of low rank.

    ``logit = b + sum_c v_c w[id_c] + <v_u e[id_u], sum_{c != u} v_c e[id_c]>``, where u is the
    user's slot: user u adds ``<e[id_u], e[id_c]>`` to what id c weighs for everyone. It is the
    factorization machine (Rendle, ICDM 2010, Eq. 1) with the pairs that hold the user and no
    others; of the user and item fields alone it is matrix factorisation with biases (Koren, Bell
    and Volinsky, IEEE Computer 2009, Eqs. 4 and 5).

    Args:
        user_field: which field is the user.
        embedding_size: D.
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

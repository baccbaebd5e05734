"""Item neighbours with learned similarities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import Embedding, Linear, field_slots, pick


class ItemKNN(BaseModel):
    """FISM (Kabbur, Ning and Karypis, KDD 2013, Eq. 5): how similar is the item to those liked?

    ``logit = b + w_user + w_item + n^-exponent * sum_j <p_item, q_j>`` over the n liked items j in
    the history's slots. A history holds earlier rows only, so that the item is not among them for
    itself. The slots' values are 1/n, so the sum is ``n^(1 - exponent) * <p_item, sum_j v_j q_j>``;
    without history it is 0.

    Args:
        user_field, item_field, history_field: which fields are the user, the item, and the items
            that the user had liked.
        embedding_size: D.
        exponent: how much of the sum is a mean, from 0, the sum, to 1, the mean.
    """

    tables = ("linear.weight", "embedding.weight")
    fields: ClassVar = {
        "user_field": "user",
        "item_field": "item",
        "history_field": "history_items",
    }

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        user_field: int,
        item_field: int,
        history_field: int,
        embedding_size: int = 16,
        exponent: float = 0.5,
    ) -> None:
        super().__init__(num_ids, slot_fields)
        if not 0 <= exponent <= 1:
            raise ValueError(f"exponent must be from 0 to 1, got {exponent}")
        self.user = field_slots(slot_fields, user_field)
        self.item = field_slots(slot_fields, item_field)
        self.history = field_slots(slot_fields, history_field)
        self.exponent = exponent
        self.linear = Linear(num_ids)
        # An item has one id as the row's item (p) and another one in the history (q).
        self.embedding = Embedding(num_ids, embedding_size)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        user, item, history = (pick(batch, part) for part in (self.user, self.item, self.history))
        n = (history[1] != 0).sum(-1).to(history[1].dtype)
        similarity = (self.embedding(*item) * self.embedding(*history)).sum(-1)  # of D: [..., B]
        effects = self.linear(*user) + self.linear(*item) - self.linear.bias  # each has the bias
        return effects + n ** (1 - self.exponent) * similarity

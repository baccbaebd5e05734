"""Item neighbours with learned similarities (FISM)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import Embedding, Linear, field_slots, pick


class ItemKNN(BaseModel):
    """Similarity of the item to items the user liked: FISM (Kabbur et al., KDD 2013, Eq. 5).

    ``logit = b + w_user + w_item + n^-exponent * sum_j <p_item, q_j>`` over the n liked items j in
    the slots of the history. A history contains earlier rows only, so the item itself is not among
    them. The slot values are 1/n, so the last term is computed as
    ``n^(1 - exponent) * <p_item, sum_j v_j q_j>``; it is 0 without a history.

    Args:
        user_field, item_field: indices of the user and the item field.
        history_field: index of the field with the items that the user liked.
        embedding_size: D.
        exponent: normalisation, from 0 (sum over the history) to 1 (mean).

    Example:
        >>> import torch
        >>> from base_models import ItemKNN
        >>> fields = {"user_field": 0, "item_field": 1, "history_field": 2}
        >>> model = ItemKNN(num_ids=7, slot_fields=[0, 1, 2, 2], **fields)
        >>> model((torch.tensor([[1, 3, 5, 6]]), torch.tensor([[1, 1, 0.5, 0.5]]))).shape
        torch.Size([1])
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
        # An item has one id in the item field (p) and another in the history (q).
        self.embedding = Embedding(num_ids, embedding_size)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        user, item, history = (pick(batch, part) for part in (self.user, self.item, self.history))
        n = (history[1] != 0).sum(-1).to(history[1].dtype)
        similarity = (self.embedding(*item) * self.embedding(*history)).sum(-1)  # of D: [..., B]
        effects = self.linear(*user) + self.linear(*item) - self.linear.bias  # both have the bias
        return effects + n ** (1 - self.exponent) * similarity

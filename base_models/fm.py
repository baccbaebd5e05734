"""Factorization machine."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.contract import BaseModel, Batch
from base_models.layers import Embedding, Linear, weighted_sum


class FM(BaseModel):
    """Second-order factorization machine (Rendle, ICDM 2010, Eq. 1).

    ``logit = b + sum_c v_c w[id_c] + sum_{c<d} <e[id_c], e[id_d]> v_c v_d``. The pairwise sum takes
    O(C D) by Lemma 3.1. Slots of the same field interact too, as in the paper.

    Args:
        embedding_size: D.

    Example:
        >>> import torch
        >>> from base_models import FM
        >>> model = FM(num_ids=4, slot_fields=[0, 1], embedding_size=8)
        >>> {name: tuple(p.shape) for name, p in model.named_parameters()}
        {'linear.weight': (4, 1), 'linear.bias': (1,), 'embedding.weight': (4, 8)}
        >>> model((torch.tensor([[1, 3], [2, 3]]), torch.ones(2, 2))).shape
        torch.Size([2])
    """

    tables = ("linear.weight", "embedding.weight")

    def __init__(self, num_ids: int, slot_fields: Sequence[int], embedding_size: int = 16) -> None:
        super().__init__(num_ids, slot_fields)
        self.linear = Linear(num_ids)
        self.embedding = Embedding(num_ids, embedding_size)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        ids, values = batch
        total = self.embedding(ids, values)  # [..., B, D]
        # Sum of the slots' squared lengths |v e|^2, without a vector per slot.
        table = self.embedding.weight
        squares = (table * table).sum(-1, keepdim=True)
        own = weighted_sum(squares, ids, values * values).squeeze(-1)
        return self.linear(ids, values) + 0.5 * ((total * total).sum(-1) - own)

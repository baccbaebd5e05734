"""A base model of one's own in 20 lines: item and user biases only.

python examples/popularity.py          trains it beside LR on a small synthetic world
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import BaseModel, Batch


class Popularity(BaseModel):
    """``logit = bias + a[user] + b[item]``, whatever else the row says."""

    tables = ("effect",)  # parameters indexed by ids, so that the engine can adapt single rows
    used: Tensor

    def __init__(
        self, num_ids: int, slot_fields: Sequence[int], fields: Sequence[int] = (0, 4)
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.effect = nn.Parameter(torch.zeros(num_ids, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        used = [float(field in fields) for field in slot_fields]
        self.register_buffer("used", torch.tensor(used), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        ids, values = batch
        effects = F.embedding(ids, self.effect).squeeze(-1)  # [..., B, C]
        return (effects * values * self.used).sum(-1) + self.bias

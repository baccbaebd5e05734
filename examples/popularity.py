"""A custom base model in 20 lines, and a run with it beside the default ones.

python examples/popularity.py
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import BaseModel, Batch


class Popularity(BaseModel):
    """Popularity of users and items: ``logit = bias + effect[user] + effect[item]``."""

    tables = ("effect",)  # indexed by ids: the engine adapts the rows a user touches
    fields: ClassVar = {"user_field": "user", "item_field": "item"}  # options with field names
    used: Tensor

    def __init__(
        self, num_ids: int, slot_fields: Sequence[int], user_field: int, item_field: int
    ) -> None:
        super().__init__(num_ids, slot_fields)
        self.effect = nn.Parameter(torch.zeros(num_ids, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        used = [float(field in (user_field, item_field)) for field in slot_fields]
        self.register_buffer("used", torch.tensor(used), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        ids, values = batch
        effects = F.embedding(ids, self.effect).squeeze(-1)  # [..., B, C]
        return (effects * values * self.used).sum(-1) + self.bias


if __name__ == "__main__":
    from metaselector.common.progress import Bars
    from metaselector.config import load_config
    from metaselector.models.registry import register
    from metaselector.runs.run import Run
    from metaselector.runs.stages.reproduce import reproduce

    register("popularity", Popularity)
    config = load_config(changes={"base_models": {"popularity": {}}})
    reproduce(Run(Path("runs/popularity"), config), None, Path("data"), Bars())

"""Single-task models side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from base_models.contract import Batch, MultiTaskModel, Task, TaskModules


class PerTask(MultiTaskModel):
    """One single-task model for each task, which share nothing.

    Args:
        make: makes such a model, ``batch -> logits [..., B]``; called once for each task, in order,
            so that each starts from random numbers of its own.
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        make: Callable[[], nn.Module],
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks)
        self.models = TaskModules(make() for _ in self.tasks)
        self.tables = tuple(
            f"models.{t}.{table}"
            for t, model in enumerate(self.models)
            for table in getattr(model, "tables", ())
        )

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        return torch.stack([model(batch) for model in self.models], dim=-1)

"""A single-task model for each task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from base_models.contract import Batch, MultiTaskModel, Task, TaskModules


class PerTask(MultiTaskModel):
    """One single-task model for each task; the models share nothing.

    Args:
        make: creates such a model, ``batch -> logits [..., B]``. It is called once per task, in
            order, so each model starts from different random numbers.

    Example:
        >>> import torch
        >>> from base_models import FM, PerTask, Task
        >>> model = PerTask(4, [0, 1], [Task(), Task()], make=lambda: FM(4, [0, 1]))
        >>> model((torch.tensor([[1, 3]]), torch.ones(1, 2))).shape
        torch.Size([1, 2])
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

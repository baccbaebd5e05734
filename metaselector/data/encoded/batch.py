"""Batches: rows as id and value slots, the contract between data and models."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Rows as (id, value) slots.

    Attributes:
        ids: int64 ``[..., B, C]``. All fields share one id space; id 0 with value 0 is padding.
        values: float ``[..., B, C]``. 1 for a categorical slot, 1/n for each of a multi-valued
            field's n slots, the number itself for a numeric slot.

    Example:
        >>> batch = Batch(torch.tensor([[[1, 3]], [[2, 3]]]), torch.ones(2, 1, 2))
        >>> batch.flatten().ids
        tensor([[1, 3],
                [2, 3]])
    """

    ids: Tensor
    values: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """Move to `device`, and cast the values to `dtype`."""
        return Batch(self.ids.to(device), self.values.to(device, dtype))

    def flatten(self) -> Batch:
        """Collapse all leading axes into one: ``[..., B, C]`` becomes ``[N, C]``."""
        return Batch(self.ids.flatten(0, -2), self.values.flatten(0, -2))


def empty_rows(rows: int, slots: int) -> Batch:
    """A batch ``[rows, slots]`` of padding."""
    return Batch(torch.zeros(rows, slots, dtype=torch.int64), torch.zeros(rows, slots))

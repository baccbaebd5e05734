"""Rows of several tables as one tensor, so that they travel in one message."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """``[L, ...]`` each, as one ``[L, W]``."""
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def apart(together: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """The inverse of :func:`side_by_side`: as many rows, each of the shapes of `like`."""
    widths = [math.prod(part.shape[1:]) for part in like]
    split = together.split(widths, dim=1)
    return [
        part.reshape(len(part), *of.shape[1:]).contiguous()
        for part, of in zip(split, like, strict=True)
    ]


def as_bytes(rows: Tensor) -> Tensor:
    """``[L, W]`` as uint8 ``[L, W * itemsize]``."""
    return rows.contiguous().view(torch.uint8)

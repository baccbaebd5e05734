"""Rows and parameters that the tests of several models use."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def randomise(model: Model, seed: int = 0) -> Model:
    """The model in float64, its parameters drawn from a standard normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.double().parameters():
        p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


def row_with_history(
    history: list[int], slots: int, after: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """A row ``[1, C]``: user 1, item 3, a history of at most `slots` items, and ids `after` it."""
    n = len(history)
    ids = [1, 3, *history, *[0] * (slots - n), *after]
    values = [1.0, 1.0, *[1 / max(n, 1)] * n, *[0.0] * (slots - n), *[1.0] * len(after)]
    return torch.tensor([ids]), torch.tensor([values], dtype=torch.float64)

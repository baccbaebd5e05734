"""A tiny table, its lookups by hand, and how results are compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

V = 5
D = 2
USERS = 3


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def assert_same(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


def derivatives(result: Tensor, leaves: list[Tensor]) -> list[tuple[Tensor, ...]]:
    """The first and second ones of a sum of uneven cubes."""
    uneven = torch.linspace(1, 2, result.numel(), dtype=torch.float64).reshape(result.shape)
    options = {"allow_unused": True, "materialize_grads": True}
    first = torch.autograd.grad((uneven * result**3).sum(), leaves, create_graph=True, **options)
    total = sum((grad * random(*grad.shape, seed=9)).sum() for grad in first)
    return [first, torch.autograd.grad(total, leaves, **options)]


def dense_bag(
    ids: Tensor,
    table: Tensor,
    offsets: Tensor,
    weights: Tensor | None = None,
    mode: str = "sum",
    padding_idx: int | None = None,
) -> Tensor:
    """The slow twin: rows are a product with one-hot vectors, bags one with zeros and ones."""
    bag = (torch.arange(len(ids)).unsqueeze(1) >= offsets).sum(1) - 1
    member = F.one_hot(bag, len(offsets)).T.double()  # [bags, n]
    if padding_idx is not None:
        member = member * (ids != padding_idx)
    rows = F.one_hot(ids, len(table)).double() @ table
    total = member @ (rows if weights is None else rows * weights.unsqueeze(1))
    return total / member.sum(1, keepdim=True).clamp_min(1) if mode == "mean" else total


def random_ids(*shape: int) -> Tensor:
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(3))

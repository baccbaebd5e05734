"""MRAN."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from base_models import MRAN
from base_models.blocks import SelfAttention

OPTIONS = {"embedding_size": 4, "tower_sizes": (5,)}


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def weighted(weights: list[float], vectors: list[Tensor]) -> Tensor:
    total = torch.zeros_like(vectors[0])
    for weight, vector in zip(weights, vectors, strict=True):
        total = total + weight * vector
    return total


def attend(layer: Any, x: Tensor) -> Tensor:
    """Self-attention over the rows of `x`, pair by pair and head by head."""
    size = x.shape[-1] // layer.heads
    attended = []
    for query in x:
        heads = []
        for h in range(layer.heads):
            own = slice(h * size, (h + 1) * size)
            q = layer.queries.weight[own] @ query
            scores = [float(q @ (layer.keys.weight[own] @ key)) / math.sqrt(size) for key in x]
            values = [layer.values.weight[own] @ value for value in x]
            heads.append(weighted(softmax(scores), values))
        attended.append(layer.output.weight @ torch.cat(heads) + layer.output.bias)
    return torch.stack(attended)


def norm(layer: Any, x: Tensor) -> Tensor:
    deviation = x - x.mean()
    return deviation / (deviation.square().mean() + 1e-5).sqrt() * layer.weight + layer.bias


@pytest.mark.parametrize("heads", [1, 2])
@torch.no_grad()
def test_equals_loops(make: Any, rows: Any, heads: int) -> None:
    model = make(MRAN, [(None,), (0,), (None,)], heads=heads, **OPTIONS)
    for row, logits in enumerate(model(rows)):
        e = model.embedding(*(part[row] for part in rows))  # [F, D]
        h = [norm(model.field_norm, x) for x in e + attend(model.between_fields, e)]
        c = model.tokens
        z = [norm(model.task_norm, x) for x in c + attend(model.between_tasks, c)]
        for t, tower in enumerate(model.towers):
            query = model.queries.weight @ z[t]
            weights = softmax([float(query @ (model.keys.weight @ x)) / 2 for x in h])
            seen = [(1 + weight) * x for weight, x in zip(weights, h, strict=True)]
            expected = tower(norm(model.norm, torch.cat(seen)))
            assert logits[t].item() == pytest.approx(expected.item(), rel=1e-10, abs=1e-10)


def test_attention_equals_torch() -> None:
    own, theirs = SelfAttention(6, 3), nn.MultiheadAttention(6, 3, batch_first=True)
    layers = (own.queries, own.keys, own.values)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(own.output.state_dict())
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own(x), theirs(x, x, x)[0])


@pytest.mark.parametrize("heads", [0, 3])
def test_heads_divide_the_embedding(make: Any, heads: int) -> None:
    with pytest.raises(ValueError, match=f"heads must divide embedding_size, got {heads} and 4"):
        make(MRAN, heads=heads, **OPTIONS)

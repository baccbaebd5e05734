"""Base models and selector as one network: the convex combination that is MetaSelector's prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.batch import Batch


class Mixed(NamedTuple):
    """What the mixture says of every row.

    Attributes:
        log_positive: ``[..., B]``, log of the predicted probability.
        log_negative: ``[..., B]``, log of one minus it, without cancellation.
        weights: ``[..., B, K]``, the selector's distribution.
        base_probabilities: ``[..., B, K]``.
    """

    log_positive: Tensor
    log_negative: Tensor
    weights: Tensor
    base_probabilities: Tensor


class Mixture(nn.Module):
    """``p = sum_k weights_k * p_k``.

    Parameters are named ``base_models.<name>.*`` (theta) and ``selector.*`` (phi).

    Args:
        base_models: K modules by name, each ``batch -> logits [..., B]`` with ``tables``.
        selector: ``(batch, base_probabilities [..., B, K]) -> weights [..., B, K]``, with ``tables``.
    """

    def __init__(self, base_models: Mapping[str, nn.Module], selector: nn.Module) -> None:
        super().__init__()
        self.base_models = nn.ModuleDict(dict(base_models))
        self.selector = selector
        self.tables = frozenset(
            f"base_models.{name}.{table}"
            for name, model in base_models.items()
            for table in model.tables
        ) | frozenset(f"selector.{table}" for table in selector.tables)

    def forward(self, batch: Batch) -> Mixed:
        logits = torch.stack([model(batch) for model in self.base_models.values()], dim=-1)
        probabilities = torch.sigmoid(logits)  # [..., B, K]
        weights = self.selector(batch, probabilities)
        # In logs, so that a confident base model costs neither precision nor gradient.
        log_weights = weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
        return Mixed(
            torch.logsumexp(log_weights + F.logsigmoid(logits), dim=-1),
            torch.logsumexp(log_weights + F.logsigmoid(-logits), dim=-1),
            weights,
            probabilities,
        )


def row_loss(output: Mixed, labels: Tensor) -> Tensor:
    """Logloss of every row, in nats."""
    return -(labels * output.log_positive + (1 - labels) * output.log_negative)


def mean_loss(output: Mixed, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean logloss of the unmasked rows; 0, still connected to the graph, where there are none."""
    return (row_loss(output, labels) * mask).sum() / mask.sum().clamp_min(1)

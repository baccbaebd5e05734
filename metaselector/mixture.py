"""Base models and selector as one network, whose prediction is their convex combination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.batch import Batch
from metaselector.errors import ConfigError, nearest


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
        selector: ``(batch, base_probabilities) -> weights``, both ``[..., B, K]``, with ``tables``.
            Its ``context``, if any, is the mixture's, see :mod:`metaselector.adapt.engine`.
    """

    base_models: nn.ModuleDict
    selector: nn.Module
    tables: frozenset[str]

    def __init__(self, base_models: Mapping[str, nn.Module], selector: nn.Module) -> None:
        super().__init__()
        self.base_models = nn.ModuleDict(dict(base_models))
        self.selector = selector
        context: Mapping[str, Any] = getattr(selector, "context", {})
        self.context = {f"selector.{name}": function for name, function in context.items()}
        self.tables = frozenset(_tables("selector", selector)).union(
            *(_tables(f"base_models.{name}", model) for name, model in base_models.items())
        )

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


def _tables(prefix: str, module: nn.Module) -> set[str]:
    """Full names of the parameters that `module` declares to be indexed by ids."""
    names = {name for name, _ in module.named_parameters()}
    declared: Iterable[str] = getattr(module, "tables", ())
    for table in declared:
        if table not in names:
            raise ConfigError(
                f"{type(module).__name__}.tables names '{table}', which is no parameter; "
                + nearest(table, names)
            )
    return {f"{prefix}.{table}" for table in declared}


def row_loss(output: Mixed, labels: Tensor) -> Tensor:
    """Logloss of every row, in nats."""
    return -(labels * output.log_positive + (1 - labels) * output.log_negative)


def mean_loss(output: Mixed, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean logloss of the rows, weighted by `mask`; 0, still in the graph, where all of it is 0."""
    return (row_loss(output, labels) * mask).sum() / mask.sum().clamp_min(1)

"""Base models and selector as one network, whose prediction is their convex combination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.common.errors import ConfigError, nearest
from metaselector.data.encoded.batch import Batch


class MixtureOutput(NamedTuple):
    """Outputs for every row; with several tasks, the last axis is T.

    Attributes:
        log_positive: ``[..., B]`` or ``[..., B, T]``, log of the predicted probability.
        log_negative: of the same shape, log of one minus it, without cancellation.
        weights: ``[..., B, K]`` or ``[..., B, K, T]``, the selector's distribution over the models.
        base_probabilities: of the same shape.
    """

    log_positive: Tensor
    log_negative: Tensor
    weights: Tensor
    base_probabilities: Tensor


class Mixture(nn.Module):
    """``p = sum_k weights_k * p_k``.

    Parameters are named ``base_models.<name>.*`` (theta) and ``selector.*`` (phi).

    Args:
        base_models: K modules by name, each ``batch -> logits [..., B]`` with ``tables``; with
            several tasks ``[..., B, T]``.
        selector: ``(batch, base_probabilities) -> weights``, both ``[..., B, K]``, with ``tables``;
            with several tasks ``[..., B, K, T]``. The mixture takes over its ``context``, if any;
            see :mod:`metaselector.meta.adapt.contract`.
        num_tasks: T.
        num_slots: C, if batches have more slots: base models with ``reads_scores`` see all slots,
            the others and the selector the first C.

    Example:
        >>> from base_models import FM, LR
        >>> from metaselector.models.selector import GatedSelector
        >>> base_models = {"lr": LR(4, [0, 1]), "fm": FM(4, [0, 1])}
        >>> mixture = Mixture(base_models, GatedSelector(4, [0, 1], num_models=2))
        >>> mixture(Batch(torch.tensor([[1, 3]]), torch.ones(1, 2))).weights  # untrained
        tensor([[0.5000, 0.5000]], grad_fn=<SoftmaxBackward0>)
    """

    base_models: nn.ModuleDict
    selector: nn.Module
    tables: frozenset[str]
    similarity: Any
    """The base models' :class:`~metaselector.models.similarity.contract.Similarities`, or None."""

    def __init__(
        self,
        base_models: Mapping[str, nn.Module],
        selector: nn.Module,
        num_tasks: int = 1,
        num_slots: int | None = None,
    ) -> None:
        super().__init__()
        self.num_slots = num_slots
        self.similarity = None
        self.models_axis = -1 if num_tasks == 1 else -2
        self.base_models = nn.ModuleDict(dict(base_models))
        self.selector = selector
        context: Mapping[str, Any] = getattr(selector, "context", {})
        self.context = {f"selector.{name}": function for name, function in context.items()}
        self.tables = frozenset(_tables("selector", selector)).union(
            *(_tables(f"base_models.{name}", model) for name, model in base_models.items())
        )

    def forward(self, batch: Batch) -> MixtureOutput:
        axis = self.models_axis
        scored, batch = batch, self._fields(batch)
        logits = torch.stack(
            [
                model(scored if getattr(model, "reads_scores", False) else batch)
                for model in self.base_models.values()
            ],
            dim=axis,
        )
        probabilities = torch.sigmoid(logits)  # [..., B, K] or [..., B, K, T]
        weights = self.selector(batch, probabilities)
        # In logs, so that a confident base model loses neither precision nor gradient.
        log_weights = weights.clamp_min(torch.finfo(weights.dtype).tiny).log()
        return MixtureOutput(
            torch.logsumexp(log_weights + F.logsigmoid(logits), dim=axis),
            torch.logsumexp(log_weights + F.logsigmoid(-logits), dim=axis),
            weights,
            probabilities,
        )

    def _fields(self, batch: Batch) -> Batch:
        """The batch without the slots of scores."""
        if self.num_slots is None:
            return batch
        return Batch(*(slots[..., : self.num_slots] for slots in batch))


def _tables(prefix: str, module: nn.Module) -> set[str]:
    """Full names of the parameters that `module` declares to be indexed by ids."""
    names = {name for name, _ in module.named_parameters()}
    declared: Iterable[str] = getattr(module, "tables", ())
    for table in declared:
        if table not in names:
            raise ConfigError(
                f"{type(module).__name__}.tables names '{table}', which is not a parameter; "
                + nearest(table, names)
            )
    return {f"{prefix}.{table}" for table in declared}

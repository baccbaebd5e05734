"""One gradient of the tasks' gradients, by an aggregator of the optional library TorchJD."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, UserError, nearest
from metaselector.training.multi_task.balance import Balance

Aggregate = Callable[[Tensor], Tensor]
"""A matrix ``[T, P]`` of gradients to one gradient ``[P]``."""


class Aggregated(Balance):
    """Aggregates the tasks' gradients of the shared parameters; those of the others add up.

    Only tasks that a row of the batch observes take part: a gradient of zeros would be the best
    compromise of, say, MGDA.

    Args:
        aggregate: such as an instance of ``torchjd.aggregation.PCGrad``.
        weights: what each task's loss is multiplied by before, ``[T]``.
        shared: parameters that several tasks train, embeddings among them.
        own: all others.
    """

    weights: Tensor

    def __init__(
        self,
        aggregate: Aggregate,
        weights: Sequence[float],
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
    ) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        # In functions, so that they do not become parameters of this module too.
        self._aggregate = lambda matrix: aggregate(matrix)
        self._trained = lambda: (
            [p for p in shared if p.requires_grad],
            [p for p in own if p.requires_grad],
        )

    def backward(self, losses: Tensor, penalty: Tensor, epoch: int) -> None:
        shared, own = self._trained()
        rows: list[Tensor] = []
        for loss in self.weights * losses:
            if loss.detach() == 0:
                continue
            found = torch.autograd.grad(
                loss, [*shared, *own], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            if shared:
                rows.append(torch.cat([g.flatten() for g in found[: len(shared)]]))  # [P]
            for parameter, gradient in zip(own, found[len(shared) :], strict=True):
                _add(parameter, gradient)
        if rows:
            together = self._aggregate(torch.stack(rows)).split([p.numel() for p in shared])
            for parameter, gradient in zip(shared, together, strict=True):
                _add(parameter, gradient.view_as(parameter))  # [P_i] to the parameter's shape
        if penalty.requires_grad:
            penalty.backward()


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def make_aggregator(name: str, options: Mapping[str, Any]) -> Aggregate:
    """An instance of the class `name` of ``torchjd.aggregation``.

    Raises:
        UserError: TorchJD, or what this class of it needs, is not installed.
        ConfigError: there is no such class, or it does not take these options.
    """
    try:
        library = importlib.import_module("torchjd.aggregation")
    except ModuleNotFoundError as error:
        raise UserError(
            f"pretrain.balance=aggregator: there is no module {error.name}; install it with "
            "pip install 'metaselector[torchjd]', or choose another balance"
        ) from error
    known = [
        each
        for each in library.__all__
        if issubclass(getattr(library, each), library.Aggregator) and "Aggregator" not in each
    ]
    if name not in known:
        raise ConfigError(f"pretrain.aggregator: TorchJD has no '{name}'; {nearest(name, known)}")
    try:
        made: Aggregate = getattr(library, name)(**options)
    except ImportError as error:
        raise UserError(f"pretrain.aggregator={name}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"pretrain.aggregator={name}: {error}; pretrain.aggregator_options are its arguments"
        ) from error
    return made

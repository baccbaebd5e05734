"""Combine the tasks' gradients with an aggregator of the optional library TorchJD."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, UserError, nearest
from metaselector.common.extras import install_extra
from metaselector.training.multi_task.balance import Balance

Aggregate = Callable[[Tensor], Tensor]
"""Maps gradients ``[T, P]`` of T tasks to one gradient ``[P]``."""


class Aggregated(Balance):
    """Aggregates the tasks' gradients of shared parameters, and adds up those of all others.

    Tasks that no row of the batch observes are left out; otherwise their zero gradient would be the
    best compromise for MGDA, for example.

    Args:
        aggregate: for example an instance of ``torchjd.aggregation.PCGrad``.
        weights: factors of the tasks' losses, ``[T]``.
        shared: parameters used by several tasks, including embeddings.
        own: all other parameters.
    """

    weights: Tensor
    by_losses = False

    def __init__(
        self,
        aggregate: Aggregate,
        weights: Sequence[float],
        shared: Sequence[nn.Parameter],
        own: Sequence[nn.Parameter],
    ) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
        # Wrapped in functions so that torch does not register them as parameters of this module.
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
            gradients = torch.autograd.grad(
                loss, [*shared, *own], retain_graph=True, allow_unused=True, materialize_grads=True
            )
            if shared:
                rows.append(torch.cat([g.flatten() for g in gradients[: len(shared)]]))  # [P]
            for parameter, gradient in zip(own, gradients[len(shared) :], strict=True):
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
        UserError: TorchJD, or a library that the class needs, is not installed.
        ConfigError: the class does not exist or does not accept the options.
    """
    try:
        library = importlib.import_module("torchjd.aggregation")
    except ModuleNotFoundError as error:
        raise UserError(
            f"pretrain.balance=aggregator: module '{error.name}' is not installed; run "
            f"{install_extra('torchjd')}, or choose another balance"
        ) from error
    known = [
        each
        for each in library.__all__
        if issubclass(getattr(library, each), library.Aggregator) and "Aggregator" not in each
    ]
    if name not in known:
        raise ConfigError(f"pretrain.aggregator: TorchJD has no '{name}'; {nearest(name, known)}")
    try:
        aggregate: Aggregate = getattr(library, name)(**options)
    except ImportError as error:
        raise UserError(f"pretrain.aggregator={name}: {error}") from error
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"pretrain.aggregator={name}: {error}; correct its arguments in "
            "pretrain.aggregator_options"
        ) from error
    return aggregate

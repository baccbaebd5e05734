"""The parameters that the outer loop learns: phi, the change of theta, and alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metaselector.common.errors import CheckpointError
from metaselector.models.mixture import Mixture

PHI = "selector."
"""Prefix of the selector's parameters in a mixture."""


@dataclass(frozen=True)
class LearnedRecord:
    """How meta-training went; see :class:`MetaParameters`."""

    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0


@dataclass
class MetaParameters:
    """The learned parameters and the record of their training.

    Attributes:
        phi: parameters of the selector.
        theta_delta: change of the base models' initial parameters, by their name in the mixture;
            empty if the base models are frozen.
        alpha: inner learning rates.
        history: per epoch ``epoch, train_loss, valid_loss`` (epoch 0 is before training) and
            ``seconds``, wall-clock time from the start of training to the end of the epoch's
            validation.
        rates: per epoch and parameter ``epoch, parameter, mean, low, high``.
        best_epoch: the epoch with the lowest loss on *valid*, from which these are.
        seconds: wall-clock time of training.
    """

    phi: dict[str, Tensor]
    theta_delta: dict[str, Tensor]
    alpha: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], device: str) -> MetaParameters:
        """The inverse of :meth:`tensors`, on a device."""
        phi, shift, alpha = in_parts(tensors, ("phi", "shift", "alpha"), device)
        return cls(phi, shift, alpha)

    def tensors(self) -> dict[str, Tensor]:
        """phi, shift and alpha, each as ``<part>/<name>``."""
        parts = {"phi": self.phi, "shift": self.theta_delta, "alpha": self.alpha}
        return {f"{part}/{name}": t for part, of in parts.items() for name, t in of.items()}

    def attach(self, mixture: Mixture) -> Mixture:
        """Set phi and add the change of theta in `mixture`, in place.

        Raises:
            CheckpointError: the mixture lacks a parameter, or has it in another shape.
        """
        own = dict(mixture.named_parameters())
        for name, tensor in {**self.phi, **self.theta_delta}.items():
            if name not in own or own[name].shape != tensor.shape:
                raise CheckpointError(
                    f"meta-training learned '{name}' {list(tensor.shape)}, which does not fit "
                    "the base models and selector of these settings; train it again"
                )
        with torch.no_grad():
            for name, parameter in mixture.named_parameters():
                if name in self.phi:
                    parameter.copy_(self.phi[name])
                elif name in self.theta_delta:
                    parameter.add_(self.theta_delta[name].to(parameter.device))
        return mixture


def in_parts(
    tensors: Mapping[str, Tensor], parts: Sequence[str], device: str
) -> list[dict[str, Tensor]]:
    """Split tensors called ``<part>/<name>`` into one dictionary per part, on a device.

    Raises:
        ValueError: a tensor belongs to none of `parts`.
    """
    found: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
    for key, tensor in tensors.items():
        part, slash, name = key.partition("/")
        if not slash or part not in found:
            raise ValueError(f"'{key}' is none of {', '.join(f'{part}/...' for part in parts)}")
        found[part][name] = tensor.to(device)
    return list(found.values())


def parameters_of(mixture: Mixture) -> dict[str, Tensor]:
    """A copy of the parameters, by name."""
    return {name: p.detach().clone() for name, p in mixture.named_parameters()}

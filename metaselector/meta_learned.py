"""What the outer loop learns: theta's shift, phi and alpha."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metaselector.mixture import Mixture

PHI = "selector."
"""What the names of the selector's parameters start with in a mixture."""


@dataclass
class MetaLearned:
    """What the outer loop learned.

    Attributes:
        phi: parameters of the selector.
        shift: change of the base models' initial parameters, by their name in the mixture; empty
            where the base models are frozen.
        alpha: inner learning rates.
        history: per epoch ``epoch, train_loss, valid_loss`` (epoch 0 is before training) and
            ``seconds``, wall-clock time from the start of the training to the end of the epoch,
            with its validation.
        rates: per epoch and parameter ``epoch, parameter, mean, low, high``.
        best_epoch: the epoch these were taken from, by the loss on *valid*.
        seconds: wall-clock time of the training.
    """

    phi: dict[str, Tensor]
    shift: dict[str, Tensor]
    alpha: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], device: str) -> MetaLearned:
        """The inverse of :meth:`tensors`, on a device."""
        parts: dict[str, dict[str, Tensor]] = {"phi": {}, "shift": {}, "alpha": {}}
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = tensor.to(device)
        return cls(parts["phi"], parts["shift"], parts["alpha"])

    def tensors(self) -> dict[str, Tensor]:
        """phi, shift and alpha, each as ``<part>/<name>``."""
        parts = {"phi": self.phi, "shift": self.shift, "alpha": self.alpha}
        return {f"{part}/{name}": t for part, of in parts.items() for name, t in of.items()}

    def attach(self, mixture: Mixture) -> Mixture:
        """Give `mixture`, which holds other base models, this phi and this shift, in place."""
        with torch.no_grad():
            for name, parameter in mixture.named_parameters():
                if name in self.phi:
                    parameter.copy_(self.phi[name])
                elif name in self.shift:
                    parameter.add_(self.shift[name].to(parameter.device))
        return mixture


def parameters_of(mixture: Mixture) -> dict[str, Tensor]:
    """A copy of the parameters, by their name."""
    return {name: p.detach().clone() for name, p in mixture.named_parameters()}

"""Contract between the training loop and what it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class ValidationResult(NamedTuple):
    """Result of validating an epoch.

    Attributes:
        valid_loss: selects the best epoch and drives early stopping; None does neither.
        more: further values for the epoch's record in the history.
        rates: records of the inner learning rates.
        finished: whether training ends here, whatever the loss.
    """

    valid_loss: float | None
    more: Mapping[str, Any] = MappingProxyType({})
    rates: Sequence[dict[str, Any]] = ()
    finished: bool = False


class Trainable(Protocol):
    """Something that is trained in epochs of steps.

    A step depends only on `parameters`, `optimizers`, `generator`, torch's random state, and what
    :meth:`begin` derives from them. The loop saves these, so on the same machine a resumed training
    run equals one that was never interrupted.

    Attributes:
        parameters: every tensor that a step changes, by name, without optimizer state.
        optimizers: the optimizers that change them.
        generator: source of all random numbers drawn with numpy.
        torch_seed: seed of all random numbers drawn with torch, such as dropout; None draws none.
    """

    parameters: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer]
    generator: np.random.Generator
    torch_seed: int | None

    def begin(self, epoch: int) -> Sequence[Any]:
        """The batches of an epoch, one per step, in random order."""

    def gradients(self, batch: Any, epoch: int) -> float | None:
        """Compute the gradients of a step; returns its loss, or None if there is nothing to learn.

        The loss is the same on all workers while they are :attr:`in_step`.
        """

    def update(self) -> None:
        """Apply the gradients."""

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        """Validate the epoch; `seconds` is the training time so far."""

    def candidate(self) -> dict[str, Tensor]:
        """A copy of the tensors to keep if this epoch is the best."""

    @property
    def in_step(self) -> bool:
        """Whether all workers have the same parameters."""
        return True

    def synchronize(self) -> None:
        """Give all workers the same parameters."""
        return None

    def shared_state(self) -> dict[str, Tensor]:
        """Further state of a step, equal on all workers; every worker must call this."""
        return {}

    def load_shared_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore :meth:`shared_state`."""
        return None

    def users(self, batch: Any) -> list[str]:
        """Names of the users in a batch."""

    def nonfinite_users(self, batch: Any) -> list[str]:
        """Names of the users in a batch whose loss is non-finite."""

    def group_of(self, name: str) -> str:
        """The group a parameter belongs to, as messages name it."""

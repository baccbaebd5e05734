"""What the training loop trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class ValidationResult(NamedTuple):
    """What an epoch came to.

    Attributes:
        valid_loss: decides which epoch is kept, and when to stop; None decides nothing.
        more: of the epoch, to be put into its line of the history.
        rates: lines about the inner learning rates.
        finished: whether the training ends here, whatever the loss.
    """

    valid_loss: float | None
    more: Mapping[str, Any] = MappingProxyType({})
    rates: Sequence[dict[str, Any]] = ()
    finished: bool = False


class Trainable(Protocol):
    """Something that learns in epochs of steps.

    All that a step depends on is in `parameters`, `optimizers`, `generator`, torch's random
    numbers, and what :meth:`begin` makes of them: the loop saves these, and a training that goes
    on from what was saved is, on the same machine, equal to one that was never interrupted.

    Attributes:
        parameters: everything that a step changes but for the state of the optimizers, by name.
        optimizers: what changes it.
        generator: of everything random that is drawn with numpy.
        torch_seed: of everything random that torch draws, such as dropout; None draws nothing.
    """

    parameters: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer]
    generator: np.random.Generator
    torch_seed: int | None

    def begin(self, epoch: int) -> Sequence[Any]:
        """The steps of an epoch, each by what it learns from, in an order drawn here."""

    def gradients(self, batch: Any, epoch: int) -> float | None:
        """Make the gradients of one step; its loss, or None where there is nothing to learn.

        The loss is the same on all workers, if they are :attr:`in_step`.
        """

    def update(self) -> None:
        """Take the step."""

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        """What the epoch came to; `seconds` is the time since the training began."""

    def candidate(self) -> dict[str, Tensor]:
        """A copy of what is kept of an epoch."""

    @property
    def in_step(self) -> bool:
        """Whether all workers have the same parameters."""
        return True

    def synchronize(self) -> None:
        """Give all workers the same parameters, if they have not."""
        return None

    def shared_state(self) -> dict[str, Tensor]:
        """What else a step depends on, the same on all workers, who all call this."""
        return {}

    def load_shared_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`shared_state`."""
        return None

    def users(self, batch: Any) -> list[str]:
        """The users that a step learned from."""

    def nonfinite_users(self, batch: Any) -> list[str]:
        """Those of them whose loss is infinite or no number."""

    def group_of(self, name: str) -> str:
        """What a parameter is part of, in a message."""

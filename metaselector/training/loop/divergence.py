"""What to say when a loss is infinite or no number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metaselector.common.errors import UserError
from metaselector.training.loop.snapshot import TrainingState
from metaselector.training.loop.trainable import Trainable

SHOWN = 5
"""Users named in a message."""


class Diverged(UserError):
    """A training whose loss or parameters are infinite or no number."""


def finite(trainable: Trainable) -> bool:
    """Whether all that is trained is a number."""
    return not _spoiled(trainable, gradients=False)


def explain(
    trainable: Trainable,
    description: str,
    position: TrainingState,
    batch: Any,
    previous: Any,
    good: Path | None,
    advice: str,
) -> Diverged:
    """The error for a step from whose loss nothing can be learned, or for an epoch that ends so.

    Args:
        position: where the step would have begun.
        piece: what the step learned from.
        previous: what the last step that was taken learned from, if that is known.
        good: the newest snapshot that was kept.
        advice: what may help.
    """
    if groups := _spoiled(trainable, gradients=False):
        what = (
            f"parameters of {', '.join(groups)} are infinite or no number after round "
            f"{position.global_step} (epoch {position.epoch})"
        )
        if previous is not None:
            what += f", which learned from {_named(trainable.users(previous))}"
    else:
        what = (
            f"the loss of round {position.global_step + 1} (epoch {position.epoch}) is "
            f"non-finite, for {_named(trainable.nonfinite_users(batch))}"
        )
        if groups := _spoiled(trainable, gradients=True):
            what += f", and so are gradients of {', '.join(groups)}"
    last = "none was kept yet" if good is None else str(good)
    return Diverged(f"{description}: {what}; last good checkpoint: {last}; {advice}")


def _spoiled(trainable: Trainable, gradients: bool) -> list[str]:
    """Groups of parameters with a value, or a gradient, that is infinite or no number."""
    found: dict[str, None] = {}
    for name, parameter in trainable.parameters.items():
        tensor = parameter.grad if gradients else parameter
        if tensor is not None and not _is_finite(tensor):
            found[trainable.group_of(name)] = None
    return list(found)


def _is_finite(tensor: Tensor) -> bool:
    values = tensor.detach()
    if values.is_sparse:
        values = values._values()
    return not values.is_floating_point() or bool(torch.isfinite(values).all())


def _named(users: Sequence[str]) -> str:
    if not users:
        return "no single user"
    shown = ", ".join(users[:SHOWN])
    more = f" and {len(users) - SHOWN} more" if len(users) > SHOWN else ""
    return f"user{'s' if len(users) > 1 else ''} {shown}{more}"

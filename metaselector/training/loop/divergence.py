"""The error message for a non-finite loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from metaselector.common.errors import UserError
from metaselector.models.kernels.rows import is_elsewhere
from metaselector.training.distributed import workers
from metaselector.training.loop.snapshot import TrainingState
from metaselector.training.loop.trainable import Trainable
from metaselector.training.tensors import is_finite

SHOWN = 5
"""Most users listed in a message."""


class Diverged(UserError):
    """Training has a non-finite loss or non-finite parameters."""


def finite(trainable: Trainable) -> bool:
    """Whether all trained parameters are finite."""
    return not _nonfinite_groups(trainable, gradients=False)


def explain(
    trainable: Trainable,
    description: str,
    position: TrainingState,
    batch: Any,
    previous: Any,
    good: Path | None,
    advice: str,
) -> Diverged:
    """The error for a step with a non-finite loss, or for an epoch that ends with one.

    Args:
        position: training state before the step.
        batch: the step's batch.
        previous: batch of the previous step, if known.
        good: the newest snapshot.
        advice: what the user can try.
    """
    if groups := _nonfinite_groups(trainable, gradients=False):
        what = (
            f"non-finite values in {', '.join(groups)} after step {position.global_step} "
            f"(epoch {position.epoch})"
        )
        if previous is not None:
            what += f", trained on {_named(trainable.users(previous))}"
    else:
        what = (
            f"the loss of step {position.global_step + 1} (epoch {position.epoch}) is "
            f"non-finite for {_named(trainable.nonfinite_users(batch))}"
        )
        if groups := _nonfinite_groups(trainable, gradients=True):
            what += f", and so are gradients of {', '.join(groups)}"
    last = "none saved yet" if good is None else str(good)
    return Diverged(f"{description}: {what}; last good checkpoint: {last}; {advice}")


def _nonfinite_groups(trainable: Trainable, gradients: bool) -> list[str]:
    """Groups of parameters with a non-finite value or gradient."""
    groups: dict[str, None] = {}
    for name, parameter in trainable.parameters.items():
        tensor = parameter.grad if gradients else parameter
        if tensor is not None and not _is_finite(tensor):
            groups[trainable.group_of(name)] = None
    return list(groups)


def _is_finite(tensor: Tensor) -> bool:
    """On all workers; of a sharded table, they find out together."""
    values = tensor.detach()
    found = is_finite(values._values() if values.is_sparse else values)
    return not any(workers.most(int(not found))) if is_elsewhere(tensor) else found


def _named(users: Sequence[str]) -> str:
    if not users:
        return "no single user"
    shown = ", ".join(users[:SHOWN])
    more = f" and {len(users) - SHOWN} more" if len(users) > SHOWN else ""
    return f"user{'s' if len(users) > 1 else ''} {shown}{more}"

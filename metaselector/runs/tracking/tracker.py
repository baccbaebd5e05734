"""The contract of trackers, which log the values of a training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from metaselector.common.errors import UserError
from metaselector.common.extras import install_extra

Status = Literal["finished", "interrupted", "failed"]


class Tracker(Protocol):
    """Logs the values of a training; created when a training command starts.

    Args:
        directory: the run's directory, for files.
        settings: the run's settings by section, as in its config.yaml.

    Raises:
        UserError: a library is missing, or a server does not respond.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None: ...

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        """Log values.

        Args:
            part: what is being trained, such as ``seed 0: pretrain lr (train)``.
            values: ``epoch``; ``round``, the number of steps over all epochs, which falls only when
                an interrupted training resumes; and some of ``loss`` of a step, ``train_loss`` and
                ``valid_loss`` of an epoch, ``rate/<parameter>``, the mean inner learning rate, or
                ``event``, a text.
        """

    def close(self, status: Status) -> None:
        """End logging, because the command ends with `status`."""


def not_installed(tracker: str, error: ModuleNotFoundError) -> UserError:
    """Return the error to raise if the library of a tracker is missing."""
    return UserError(
        f"tracking={tracker}: module {error.name} is not installed; run "
        f"{install_extra(tracker)}, or remove {tracker} from tracking"
    )


def tag(part: str) -> str:
    """Return `part` as a name without special characters: ``seed-0/pretrain-lr-train``."""
    return "/".join(re.sub(r"[^\w.]+", "-", piece).strip("-") for piece in part.split(": "))


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of `values`, without ``round``."""
    return {
        key: float(value)
        for key, value in values.items()
        if key != "round" and isinstance(value, int | float) and math.isfinite(value)
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by dotted name."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

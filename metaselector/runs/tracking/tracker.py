"""Contract of trackers, which log metrics during training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from metaselector.common.errors import UserError

Status = Literal["finished", "interrupted", "failed"]


class Tracker(Protocol):
    """Logs metrics; created as ``Tracker(directory, settings)`` when a command starts training.

    Args:
        directory: the run directory, for files.
        settings: the run's settings by section, as in its config.yaml.

    Raises:
        UserError: a library is missing, or a server does not answer.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None: ...

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        """Log current values.

        Args:
            part: what is trained, such as ``seed 0: pretrain lr (train)``.
            values: ``epoch``; ``round``, the steps done in all epochs, which only decreases when an
                interrupted training run resumes; and some of ``loss`` of a step, ``train_loss`` and
                ``valid_loss`` of an epoch, ``rate/<parameter>``, the mean inner rate, or ``event``,
                a text.
        """

    def close(self, status: Status) -> None:
        """Finish logging at the end of the command."""


def not_installed(tracker: str, error: ModuleNotFoundError) -> UserError:
    """The error for a tracker whose library, an extra of the same name, is missing."""
    return UserError(
        f"tracking={tracker}: module '{error.name}' is not installed; run "
        f"pip install 'metaselector[{tracker}]', or remove {tracker} from tracking"
    )


def tag(part: str) -> str:
    """`part` as a valid metric name, such as ``seed-0/pretrain-lr-train``."""
    return "/".join(re.sub(r"[^\w.]+", "-", piece).strip("-") for piece in part.split(": "))


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of `values`, without ``round``."""
    return {
        key: float(value)
        for key, value in values.items()
        if key != "round" and isinstance(value, int | float) and math.isfinite(value)
    }


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

"""Who takes down the numbers of a training, as it goes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["finished", "interrupted", "failed"]


class Tracker(Protocol):
    """Is called ``Tracker(directory, settings)`` when a command begins to train.

    Args:
        directory: of the run, for files.
        settings: of the run, by section, as in its config.yaml.

    Raises:
        UserError: a library is missing, or a server does not answer.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None: ...

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        """Take down what is known now.

        Args:
            part: what is trained, such as ``seed 0: pretrain lr (train)``.
            values: ``epoch``; ``round``, the steps done in all epochs, which never falls but where
                an interrupted training goes on; and some of ``loss`` of a step, ``train_loss``
                and ``valid_loss`` of an epoch, ``rate/<parameter>``, the mean inner rate, or
                ``event``, which is a text.
        """

    def close(self, status: Status) -> None:
        """The command is at its end."""


def tag(part: str) -> str:
    """`part` without what names must not have: ``seed-0/pretrain-lr-train``."""
    return "/".join(re.sub(r"[^\w.]+", "-", piece).strip("-") for piece in part.split(": "))


def scalars(values: Mapping[str, Any]) -> dict[str, float]:
    """What of `values` is a number that can be plotted, without ``round``."""
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

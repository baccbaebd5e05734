"""A target: a function that writes a folder of files, and one that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

Group = Literal["inputs", "damaged", "kills"]
GROUPS: tuple[Group, ...] = ("inputs", "damaged", "kills")

SECONDS, MEGABYTES = 5.0, 500.0
"""Limits for an input: processor time, and growth of the process's memory."""


class Different(Exception):
    """An input was accepted with a wrong meaning."""


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        name: name on the command line and in the figures.
        write: creates an input in an empty folder, determined by the generator.
        read: the code under test. It returns, raises a ``UserError``, or has a defect; it raises
            :class:`Different` if its result is wrong.
        weight: relative share of the group's inputs.
        group: group that the target belongs to.
        seconds, megabytes: limits for :attr:`read`.
    """

    name: str
    write: Callable[[Random, Path], None]
    read: Callable[[Path], object]
    weight: int = 1
    group: Group = "inputs"
    seconds: float = SECONDS
    megabytes: float = MEGABYTES


def random_of(seed: int, target: str, number: int) -> Random:
    """The generator of one input, which can be created again on its own."""
    return Random(f"{seed} {target} {number}")


def shares(targets: Iterable[Target], total: int) -> dict[str, int]:
    """Number of inputs of each target: proportional to its weight, at least one."""
    given = list(targets)
    weights = sum(target.weight for target in given)
    return {t.name: max(1, round(total * t.weight / weights)) for t in given} if total else {}

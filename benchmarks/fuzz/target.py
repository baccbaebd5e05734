"""What is tried: something that writes a folder of files, and something that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

Group = Literal["inputs", "damaged", "kills"]
GROUPS: tuple[Group, ...] = ("inputs", "damaged", "kills")

SECONDS, MEGABYTES = 5.0, 500.0
"""What one input may take: of the processor's time, and of memory beyond what the process had."""


class Different(Exception):
    """Something was accepted, and means something else than it should."""


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        name: on the command line and in the figures.
        write: makes an input in an empty folder; the same one from the same generator.
        read: what is tested on that folder. It ends, raises a ``UserError``, or has a defect;
            :class:`Different` where it ends with something wrong.
        weight: its share of a group's inputs, beside the others'.
        group: which option counts it.
        seconds, megabytes: what :attr:`read` may take.
    """

    name: str
    write: Callable[[Random, Path], None]
    read: Callable[[Path], object]
    weight: int = 1
    group: Group = "inputs"
    seconds: float = SECONDS
    megabytes: float = MEGABYTES


def random_of(seed: int, target: str, number: int) -> Random:
    """The generator of one input, which so needs no other to be made again."""
    return Random(f"{seed} {target} {number}")


def shares(targets: Iterable[Target], total: int) -> dict[str, int]:
    """How many of `total` inputs each target gets: in proportion, and at least one."""
    given = list(targets)
    weights = sum(target.weight for target in given)
    return {t.name: max(1, round(total * t.weight / weights)) for t in given} if total else {}

"""Numbers that *train* did not prepare for, counted, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metaselector.data.preparation.numbers import MARGIN, MAX_DEVIATIONS, RARE, Numbers

ENOUGH = 20
"""Numbers of *train* from which on its range says something."""
MANY_OUTSIDE = 0.05
"""Share of the later numbers outside of the range of *train* that is said."""
FAR = 30
"""Deviations from the mean from which on a number of *train* is doubtful."""


@dataclass
class LaterNumbers:
    """How the numbers of a feature lie to those of *train*.

    Attributes:
        later: numbers after *train*.
        outside: of these, outside of the range of *train*.
        beyond: of these, so far outside that they are set to the limit.
        cut: numbers within the range, more than :data:`MAX_DEVIATIONS` from the mean.
    """

    numbers: Numbers
    later: int = 0
    outside: int = 0
    beyond: int = 0
    cut: int = 0
    _limits: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._limits = self.numbers.limits

    @classmethod
    def of(cls, numbers: Numbers) -> LaterNumbers:
        """Of all rows still to come; those of *train* are among them."""
        return cls(numbers, later=-numbers.count)

    def add(self, values: NDArray[np.float64]) -> None:
        """Count `values` ``[n]``, nan where missing."""
        numbers = self.numbers
        self.later += int(np.count_nonzero(np.isfinite(values)))
        if not numbers.count:
            return
        low, high = self._limits
        outside = (values < numbers.low) | (values > numbers.high)
        moved = (values < low) | (values > high)
        self.outside += int(np.count_nonzero(outside))
        self.beyond += int(np.count_nonzero(outside & moved))
        if not numbers.constant:
            self.cut += int(np.count_nonzero(moved & ~outside))

    def doubts(self, buckets: int | None) -> Iterator[str]:
        """What the reader of the log should know, one clause each, to follow the feature's name."""
        numbers = self.numbers
        if not numbers.count:
            if self.later:
                later = f"all {self.later:,} later values are treated as missing"
                yield f"has no values in train: {later}"
        elif numbers.constant:
            yield from self._constant()
        elif buckets is not None:
            if not numbers.edges(buckets):
                yield (
                    f"is one bucket: nearly all numbers of train are {numbers.low:.15g}; drop the "
                    "feature, or remove its buckets"
                )
        else:
            yield from self._far()

    def _constant(self) -> Iterator[str]:
        number = f"{self.numbers.low:.15g}"
        differ = ""
        if self.outside:
            differ = f"; {self.outside:,} of {self.later:,} later ones differ, and are set to it"
        if not self.numbers.missing:
            yield f"is constant in train ({number}): it says nothing; drop the feature{differ}"
        elif differ:
            yield f"is {number} in train wherever it is not missing{differ}"

    def _far(self) -> Iterator[str]:
        numbers = self.numbers
        number, share = numbers.commonest
        farthest = max(numbers.high - numbers.mean, numbers.mean - numbers.low) / numbers.deviation
        if numbers.count >= ENOUGH and share > 1 - RARE:
            yield (
                f"is {number:.15g} in {100 * share:.4g} % of train: hardly anything is learned of "
                "other numbers; make it categorical, or drop it"
            )
        elif farthest >= FAR and not self.cut:
            yield (
                f"has a number {farthest:.0f} deviations from the mean in train "
                f"({numbers.low:.6g} to {numbers.high:.6g}): next to it all others are nearly the "
                "same; correct it, or cut the feature into buckets"
            )
        if self.cut:
            yield (
                f"has {self.cut:,} numbers more than {MAX_DEVIATIONS:g} deviations from the mean, "
                "which are set to that; correct them, or cut it into buckets"
            )
        many = self.outside >= MANY_OUTSIDE * self.later and numbers.count >= ENOUGH
        if self.beyond or (self.outside and many):
            text = (
                f"leaves the range of train ({numbers.low:.6g} to {numbers.high:.6g}) in "
                f"{self.outside:,} of {self.later:,} later numbers"
            )
            if self.beyond:
                text += f", {self.beyond:,} of them by more than {MARGIN:g} deviations, which are "
                text += "set to that"
            yield text + "; correct them, or bring a number that does not drift, or buckets"

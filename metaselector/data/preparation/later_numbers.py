"""Count numbers that *train* did not cover, and report doubtful numeric features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metaselector.data.preparation.numbers import MARGIN, MAX_DEVIATIONS, RARE, Numbers

ENOUGH = 20
"""Minimum numbers of *train* for its range to be meaningful."""
MANY_OUTSIDE = 0.05
"""Share of later numbers outside the range of *train* from which it is reported."""
FAR = 30
"""Standard deviations from the mean beyond which a number of *train* is doubtful."""


@dataclass
class LaterNumbers:
    """Numbers of a feature after *train*, compared with its range in *train*.

    Attributes:
        numbers: summary of the numbers in *train*.
        later: count of numbers after *train*.
        outside: count of these outside the range of *train*.
        beyond: count of these so far outside that they are clipped.
        cut: count of numbers within the range, but clipped at :data:`MAX_DEVIATIONS`.
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
        """Start counting before all rows are added, those of *train* included."""
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
        """Yield warnings, one clause each, that continue the feature's name."""
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
                    f"is one bucket: nearly all its values in train are {numbers.low:.15g}; drop "
                    "the feature, or remove its buckets"
                )
        else:
            yield from self._far()

    def _constant(self) -> Iterator[str]:
        number = f"{self.numbers.low:.15g}"
        differ = ""
        if self.outside:
            differ = f"; {self.outside:,} of {self.later:,} later values differ and are set to it"
        if not self.numbers.missing:
            yield f"is constant in train ({number}); drop the feature{differ}"
        elif differ:
            yield f"is {number} in train wherever it is not missing{differ}"

    def _far(self) -> Iterator[str]:
        numbers = self.numbers
        number, share = numbers.commonest
        farthest = max(numbers.high - numbers.mean, numbers.mean - numbers.low) / numbers.deviation
        if numbers.count >= ENOUGH and share > 1 - RARE:
            yield (
                f"is {number:.15g} in {100 * share:.4g} % of train, too often to learn from other "
                "values; make it categorical, or drop it"
            )
        elif farthest >= FAR and not self.cut:
            yield (
                f"has an outlier {farthest:.0f} standard deviations from the mean in train "
                f"({numbers.low:.6g} to {numbers.high:.6g}), so all other values are nearly equal "
                "after scaling; correct it, or use buckets"
            )
        if self.cut:
            yield (
                f"has {self.cut:,} values more than {MAX_DEVIATIONS:g} standard deviations from "
                "the mean, which are clipped there; correct them, or use buckets"
            )
        many = self.outside >= MANY_OUTSIDE * self.later and numbers.count >= ENOUGH
        if self.beyond or (self.outside and many):
            text = (
                f"leaves its range in train ({numbers.low:.6g} to {numbers.high:.6g}) in "
                f"{self.outside:,} of {self.later:,} later values"
            )
            if self.beyond:
                text += f", {self.beyond:,} of them by more than {MARGIN:g} standard deviations, "
                text += "which are clipped there"
            yield text + "; correct them, use a feature that does not drift, or use buckets"

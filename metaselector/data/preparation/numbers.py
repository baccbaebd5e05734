"""Numeric columns: their statistics in *train*, and their encoding as cells."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metaselector.data.encoded.schema import Field

QUANTILE_SAMPLE = 1_000_000
"""Maximum sample of a column from which quantiles are computed."""
MAX_DEVIATIONS = 100.0
"""Standardised numbers are clipped here, so that one outlier cannot dominate a model."""
MARGIN = 3.0
"""Standard deviations outside the range of *train* beyond which a number is clipped."""
RARE = 0.01
"""If all but this share of *train* is one number, the others are scaled down, the rarer the more.

Standardised by the standard deviation alone, a value with the given share would be at
``sqrt(1 / share)``, which grows as the value gets rarer: a value in one of a thousand rows, seen
too seldom to learn from, would be at 30 and dominate. With this correction it is at
``10 * sqrt(share / RARE)``.
"""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Relative difference up to which numbers are considered equal except for rounding."""


@dataclass
class Numbers:
    """Mean, spread, range and a sample of a column of numbers, collected piece by piece.

    Attributes:
        stride: every `stride`-th row of the file goes into the sample.
        count, missing: number of finite values, and of all others.
        mean: mean of the finite values.
        low, high: minimum and maximum; inf and -inf if there are none.
    """

    stride: int = 1
    count: int = 0
    missing: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    low: float = float("inf")
    high: float = float("-inf")
    sample: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, values: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Add `values` ``[n]``, nan where missing, of the given rows of the file."""
        present = np.isfinite(values)
        self.missing += len(values) - int(np.count_nonzero(present))
        values, rows = values[present], rows[present]
        n = len(values)
        if not n:
            return
        # Merge two samples as in T. Chan et al., "Updating formulae and a pairwise algorithm for
        # computing sample variances", 1979; plain sums of squares would cancel.
        mean = float(values.mean())
        step = mean - self.mean
        total = self.count + n
        self.squares += float(((values - mean) ** 2).sum()) + step**2 * self.count * n / total
        self.mean += step * n / total
        self.count = total
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        self.sample.append(values[rows % self.stride == 0])

    @property
    def spread(self) -> float:
        """Standard deviation, 0 if all numbers are equal up to rounding.

        Equality is decided by the range, which is exact, whereas summed squares of equal numbers
        accumulate rounding errors.
        """
        if self.high - self.low <= ROUNDING * max(abs(self.low), abs(self.high)):
            return 0.0
        return float((self.squares / self.count) ** 0.5)

    @property
    def constant(self) -> bool:
        """Whether there are numbers and all are equal up to rounding."""
        return self.count > 0 and not self.spread

    @property
    def center(self) -> float:
        """Mean; for a constant column, its number."""
        return self.low if self.constant else self.mean

    @property
    def deviation(self) -> float:
        """Standard deviation, corrected by :data:`RARE`; 1 if it is 0 or there are no values."""
        if not self.spread:
            return 1.0
        others = max(1 - self.commonest[1], 1 / self.count)
        return float(self.spread * max(RARE / others, 1.0))

    @property
    def limits(self) -> tuple[float, float]:
        """Minimum and maximum to which numbers are clipped.

        They are :data:`MARGIN` deviations outside the range, but at most :data:`MAX_DEVIATIONS`
        from the mean. In a constant column all numbers are clipped to its number, as nothing was
        learned about others.
        """
        if self.constant:
            return self.low, self.low
        margin, reach = MARGIN * self.deviation, MAX_DEVIATIONS * self.deviation
        low, high = self.low - margin, self.high + margin
        return max(low, self.mean - reach), min(high, self.mean + reach)

    def edges(self, buckets: int) -> tuple[float, ...]:
        """Quantiles that cut the numbers into at most `buckets` parts; none if constant."""
        if not self.spread:
            return ()
        values = np.concatenate([np.zeros(0), *self.sample])
        if not len(values):
            return ()
        cuts = np.unique(np.quantile(values, np.arange(1, buckets) / buckets))
        return tuple(float(cut) for cut in cuts if cut > values.min())

    @property
    def commonest(self) -> tuple[float, float]:
        """The number that makes up more than half of the sample, and its share; else nan and 0."""
        values = np.concatenate([np.zeros(0), *self.sample])
        if not len(values):
            return float("nan"), 0.0
        middle = float(np.partition(values, len(values) // 2)[len(values) // 2])
        share = float(np.mean(values == middle))
        return (middle, share) if share > 0.5 else (float("nan"), 0.0)


def number_cells(field: Field, values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Encode numbers as cells ``[n]`` of a numeric or bucketed field.

    Args:
        field: made by :meth:`~metaselector.data.preparation.fields.Fields.numeric`.
        values: float64 ``[n]``, nan if missing. If *train* has no values, all count as missing,
            as nothing was learned about them.
    """
    if not field.vocabulary:
        values = np.full(len(values), np.nan)
    if field.kind == "numeric":
        near = np.clip(values, *number_limits(field))
        return ((near - field.center) / field.scale).astype(np.float32).view(np.int32)
    bucket = np.searchsorted(field.edges, values, side="right")
    return np.where(np.isnan(values), field.first_id, field.first_id + 1 + bucket).astype(np.int32)


def number_limits(field: Field) -> tuple[float, float]:
    """Limits as in :attr:`Numbers.limits`; older fields are limited by :data:`MAX_DEVIATIONS`."""
    reach = MAX_DEVIATIONS * field.scale
    low = field.center - reach if field.low is None else field.low
    high = field.center + reach if field.high is None else field.high
    return low, high

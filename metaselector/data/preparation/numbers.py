"""A column of numbers: what is measured of it in *train*, and the cells that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metaselector.data.encoded.schema import Field

QUANTILE_SAMPLE = 1_000_000
"""Most numbers of a column that its quantiles are taken of."""
MAX_DEVIATIONS = 100.0
"""Standardised numbers beyond are set to it: one wrong outlier must not drown a model."""
MARGIN = 3.0
"""Deviations outside of the range of *train* up to which a number is taken as it is."""
RARE = 0.01
"""Where one number is more than all but this share of *train*, others count the less the rarer.

At this share they stand 10 deviations away. By their deviation alone they would stand the further
away the rarer they are, at ``sqrt(1 / share)``: one in a thousand rows at 30, where it decides all,
though it was hardly learned from. Here they stand at ``10 * sqrt(share / RARE)``.
"""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Numbers that differ by no more than this share of themselves differ by rounding only."""


@dataclass
class Numbers:
    """Mean, spread and range of a column of numbers, and a sample of it, collected piece by piece.

    Attributes:
        stride: every so many rows of the file go into the sample.
        count, missing: of finite numbers, and of all others.
        low, high: the smallest and the largest value; inf and -inf if there are none.
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
        # Two sets are joined as in T. Chan et al., "Updating formulae and a pairwise algorithm for
        # computing sample variances", 1979: sums of squares would lose the digits that count.
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
        """Standard deviation, 0 where all numbers are the same or differ by rounding only.

        The range decides that, which no sum has rounded: the squares of equal numbers add up to
        what rounding left between them and their mean.
        """
        if self.high - self.low <= ROUNDING * max(abs(self.low), abs(self.high)):
            return 0.0
        return float((self.squares / self.count) ** 0.5)

    @property
    def constant(self) -> bool:
        """Whether there are numbers, and nothing but rounding between them."""
        return self.count > 0 and not self.spread

    @property
    def center(self) -> float:
        """The mean; of a constant column, its number."""
        return self.low if self.constant else self.mean

    @property
    def deviation(self) -> float:
        """Standard deviation; 1 if it is 0 or there are no values. See also :data:`RARE`."""
        if not self.spread:
            return 1.0
        others = max(1 - self.commonest[1], 1 / self.count)
        return float(self.spread * max(RARE / others, 1.0))

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest number that is taken as it is; others are set to these.

        They are :data:`MARGIN` deviations outside of the range, but :data:`MAX_DEVIATIONS` from
        the mean at most. Where a column is constant, nothing was learned of any other number: all
        are set to the one.
        """
        if self.constant:
            return self.low, self.low
        margin, reach = MARGIN * self.deviation, MAX_DEVIATIONS * self.deviation
        low, high = self.low - margin, self.high + margin
        return max(low, self.mean - reach), min(high, self.mean + reach)

    def edges(self, buckets: int) -> tuple[float, ...]:
        """Where quantiles cut the numbers into at most that many parts; nowhere if constant."""
        if not self.spread:
            return ()
        values = np.concatenate([np.zeros(0), *self.sample])
        if not len(values):
            return ()
        cuts = np.unique(np.quantile(values, np.arange(1, buckets) / buckets))
        return tuple(float(cut) for cut in cuts if cut > values.min())

    @property
    def commonest(self) -> tuple[float, float]:
        """A number that more than half of the sample are, and their share; else nan and 0."""
        values = np.concatenate([np.zeros(0), *self.sample])
        if not len(values):
            return float("nan"), 0.0
        middle = float(np.partition(values, len(values) // 2)[len(values) // 2])
        share = float(np.mean(values == middle))
        return (middle, share) if share > 0.5 else (float("nan"), 0.0)


def number_cells(field: Field, values: NDArray[np.float64]) -> NDArray[np.int32]:
    """Cells ``[n]`` of a numeric field, or of one of buckets.

    Args:
        field: as :meth:`~metaselector.data.preparation.fields.Fields.numeric` made it.
        values: float64 ``[n]``; nan is a missing value. All are missing where *train* has none:
            nothing was learned of any number.
    """
    if not field.vocabulary:
        values = np.full(len(values), np.nan)
    if field.kind == "numeric":
        near = np.clip(values, *number_limits(field))
        return ((near - field.center) / field.scale).astype(np.float32).view(np.int32)
    bucket = np.searchsorted(field.edges, values, side="right")
    return np.where(np.isnan(values), field.first_id, field.first_id + 1 + bucket).astype(np.int32)


def number_limits(field: Field) -> tuple[float, float]:
    """As :attr:`Numbers.limits`; fields of older versions have only :data:`MAX_DEVIATIONS`."""
    reach = MAX_DEVIATIONS * field.scale
    low = field.center - reach if field.low is None else field.low
    high = field.center + reach if field.high is None else field.high
    return low, high

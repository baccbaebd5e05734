"""Find labels that are positive only where another one is: nothing is bought without a click."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from metaselector.data.interactions import Floats

_CHANCE = 1e-3
"""How likely independent labels may be to look like this."""


class Implied(NamedTuple):
    """A label that is positive only where an earlier one is.

    Attributes:
        later, earlier: indices of the two labels.
        positives: positive rows of the later label in which the earlier one is observed.
    """

    later: int
    earlier: int
    positives: int


class ImpliedLabels:
    """Counts, block by block, in which rows labels are positive together.

    Args:
        labels: number of labels (T).

    Example:
        >>> clicked = np.array([1.0, 1.0, 0.0] * 20)
        >>> bought = np.array([1.0, 0.0, 0.0] * 20)
        >>> found = ImpliedLabels(2)
        >>> found.add(np.stack([clicked, bought], axis=1), np.ones(2))
        >>> found.found()
        [Implied(later=1, earlier=0, positives=20)]
    """

    def __init__(self, labels: int) -> None:
        shape = labels, labels
        # Of the rows in which both are observed: with both, with the first, with the second.
        self._both, self._first, self._second, self._rows = (
            np.zeros(shape, dtype=np.int64) for _ in range(4)
        )

    def add(self, values: Floats, thresholds: Floats) -> None:
        """Add labels ``[n, T]``, nan if not observed, positive from `thresholds` ``[T]`` on."""
        seen = (~np.isnan(values)).astype(np.float64)
        positive = (values >= thresholds).astype(np.float64)  # of nan: no
        for total, one, other in (
            (self._both, positive, positive),
            (self._first, positive, seen),
            (self._second, seen, positive),
            (self._rows, seen, seen),
        ):
            total += np.rint(one.T @ other).astype(np.int64)

    def found(self) -> list[Implied]:
        """For each label the rarest one that it implies, unless that may well be chance.

        Labels that are equal do not imply each other.
        """
        found = []
        for later in range(len(self._rows)):
            candidates = [
                (self._second[later, earlier] / self._rows[later, earlier], earlier)
                for earlier in range(len(self._rows))
                if self._holds(later, earlier)
            ]
            if candidates:
                _, earlier = min(candidates)
                found.append(Implied(later, earlier, int(self._first[later, earlier])))
        return found

    def _holds(self, later: int, earlier: int) -> bool:
        cell = later, earlier
        positives, rows = int(self._first[cell]), int(self._rows[cell])
        if not positives or self._both[cell] < positives or self._second[cell] <= positives:
            return False
        rate = int(self._second[cell]) / rows
        return rate < 1 and positives * math.log(rate) < math.log(_CHANCE)

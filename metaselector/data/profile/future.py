"""How much base models learn from rows that are later than the rows they are tested on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metaselector.data.interactions import Ints


class Future(NamedTuple):
    """Rows that base models are fitted on and that are later than test rows.

    Attributes:
        share: share of the fitted rows that are later than a test row, 0 to 1, averaged over all
            test rows: the probability that a random fitted row is later than a random test row.
        tests: share of the test rows for which some fitted row is later, 0 to 1.
    """

    share: float
    tests: float


def future(fitted: Ints, tested: Ints) -> Future | None:
    """Compare the times of fitted rows and test rows; equal times are not later.

    Args:
        fitted: int64 ``[F]``, times of the rows that the base models of the results table are
            fitted on; sorted in place.
        tested: int64 ``[N]``, times of the test rows.

    Returns:
        None if there are no rows of one kind.

    Example:
        >>> future(np.array([1, 2, 3, 4]), np.array([3, 4]))  # one of four is later than 3
        Future(share=0.125, tests=0.5)
    """
    if not len(fitted) or not len(tested):
        return None
    fitted.sort()
    later = len(fitted) - np.searchsorted(fitted, tested, side="right")
    return Future(float(later.mean() / len(fitted)), float((later > 0).mean()))

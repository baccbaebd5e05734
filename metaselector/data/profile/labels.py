"""Profile of a label, collected block by block."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Floats, Task
from metaselector.data.preparation.codes import Tally
from metaselector.data.profile.figures import TaskProfile, WindowRates
from metaselector.data.profile.user_rates import drift, spread
from metaselector.data.profile.window_counts import LabelCounts


def outcomes(values: Floats, thresholds: Floats) -> NDArray[np.int8]:
    """Mark each label as positive (1), negative (0) or not observed (-1), int8 ``[n, T]``.

    Args:
        values: float64 ``[n, T]``, nan if not observed.
        thresholds: float64 ``[T]``; values of at least this are positive.

    Example:
        >>> outcomes(np.array([[4.0, np.nan], [3.0, 1.0]]), np.array([4.0, 1.0])).tolist()
        [[1, -1], [0, 1]]
    """
    found: NDArray[np.int8] = np.where(np.isnan(values), -1, values >= thresholds).astype(np.int8)
    return found


class LabelSummary:
    """Counts observed and positive rows per user.

    Args:
        task: the task of the label.
        threshold: threshold if the task sets none.

    Attributes:
        threshold: values of at least this are positive.
    """

    def __init__(self, task: Task, threshold: float) -> None:
        self._name = task.name
        self.threshold = threshold if task.threshold is None else task.threshold
        self._observed, self._positive = Tally(), Tally()
        self._low, self._high = math.inf, -math.inf

    def add(self, user: NDArray[np.int32], values: NDArray[np.float64]) -> None:
        """Add user codes ``[n]`` and label values ``[n]``, nan if not observed."""
        observed = ~np.isnan(values)
        self._observed.add(user[observed])
        self._positive.add(user[values >= self.threshold])
        self._low = min(self._low, float(values[observed].min(initial=math.inf)))
        self._high = max(self._high, float(values[observed].max(initial=-math.inf)))

    def profile(self, rows: int, n_users: int, counts: LabelCounts) -> TaskProfile:
        """The profile of a table of `rows` rows and `n_users` users, all added before.

        Args:
            rows, n_users: size of the table.
            counts: rows of the label by window.
        """
        observed, positive = self._observed.counts(n_users), self._positive.counts(n_users)
        n, positives = int(observed.sum()), int(positive.sum())
        one_class = (observed > 0) & ((positive == 0) | (positive == observed))
        return TaskProfile(
            name=self._name,
            threshold=self.threshold,
            observed=n,
            positives=positives,
            share_observed=n / rows,
            rate=positives / n if n else None,
            lowest=self._low if n else None,
            highest=self._high if n else None,
            users_of_one_class=int(one_class.sum()),
            window_rates=WindowRates(*(_ratio(hits, seen) for seen, hits in counts.windows)),
            spread=_known(spread(counts.users)),
            drift=_known(drift(counts.users)),
        )


def _ratio(positives: int, rows: int) -> float | None:
    return float(positives / rows) if rows else None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

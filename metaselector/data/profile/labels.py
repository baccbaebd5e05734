"""Profile of a label, collected block by block."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Task
from metaselector.data.preparation.codes import Tally
from metaselector.data.profile.figures import TaskProfile


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

    def profile(self, rows: int, n_users: int) -> TaskProfile:
        """The profile of a table of `rows` rows and `n_users` users, all added before."""
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
        )

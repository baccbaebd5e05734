"""Count rows and positives by window and by user, once the windows are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints
from metaselector.data.preparation.codes import Tally
from metaselector.data.profile.row_kinds import DROPPED, TEST, TRAIN
from metaselector.data.profile.row_log import RowLog
from metaselector.data.profile.user_rates import Counts


class LabelCounts(NamedTuple):
    """Counts of a label.

    Attributes:
        windows: int64 ``[3, 2]``, observed rows and positives in *train*, *valid* and *test*.
        users: the same by user, before *test* and in it.
    """

    windows: Ints
    users: Counts


class WindowCounts(NamedTuple):
    """Counts of all rows that are not dropped.

    Attributes:
        before, test: int64 ``[U]``, rows of each user before *test* and in it.
        labels: counts of each label.
    """

    before: Ints
    test: Ints
    labels: list[LabelCounts]


def window_counts(
    log: RowLog, kinds: NDArray[np.uint8], n_users: int, n_labels: int
) -> WindowCounts:
    """Count the rows of `log` by window and by user.

    Args:
        log: all rows, with their outcomes.
        kinds: uint8 ``[n]``, from :func:`~metaselector.data.profile.row_kinds.row_kinds`.
        n_users: number of users (U).
        n_labels: number of labels.
    """
    rows = Tally(), Tally()
    windows = np.zeros((n_labels, TEST, 2), dtype=np.int64)
    observed = [(Tally(), Tally()) for _ in range(n_labels)]
    positives = [(Tally(), Tally()) for _ in range(n_labels)]
    for user, row, outcomes in log.outcomes():
        kind = kinds[row]
        for side, chosen in enumerate(((kind != DROPPED) & (kind != TEST), kind == TEST)):
            rows[side].add(user[chosen])
            for label, outcome in enumerate(outcomes):
                observed[label][side].add(user[chosen & (outcome >= 0)])
                positives[label][side].add(user[chosen & (outcome == 1)])
        for label, outcome in enumerate(outcomes):
            for place, window in enumerate(range(TRAIN, TEST + 1)):
                found = outcome[kind == window]
                windows[label, place] += (found >= 0).sum(), (found == 1).sum()

    def counts(tally: Tally) -> NDArray[np.float64]:
        return tally.counts(n_users).astype(np.float64)

    labels = [
        LabelCounts(of_windows, Counts(*map(counts, (seen[0], hits[0], seen[1], hits[1]))))
        for of_windows, seen, hits in zip(windows, observed, positives, strict=True)
    ]
    before, test = (tally.counts(n_users) for tally in rows)
    return WindowCounts(before, test, labels)

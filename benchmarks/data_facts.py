"""What the data behind a table are like, from the rows that its test uses: ``data.csv``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.data.interactions import Floats, Ints
from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.runs.run import Run

FACTS_FILE = "data.csv"
COLUMNS = (
    "task",
    "protocol",
    "users",
    "rows_before",
    "test_rows",
    "positives_before",
    "positives_test",
    "spread",
    "drift",
)


class Counts(NamedTuple):
    """Observed rows and positives of each user, float64 ``[U]``, before the test rows and in them.

    Attributes:
        before, positives_before: of the user's rows before the first test row.
        test, positives_test: of the test rows.
    """

    before: Floats
    positives_before: Floats
    test: Floats
    positives_test: Floats


def data_facts(run: Run) -> pd.DataFrame:
    """One line per task and evaluation split of a run with prepared data, columns :data:`COLUMNS`.

    ``users`` are the test users, ``rows_before`` and ``test_rows`` their median numbers of rows,
    ``positives_before`` and ``positives_test`` shares of all their rows. ``spread`` is
    :func:`spread` and ``drift`` :func:`drift`. A user with several test episodes, as new users
    after a date have, counts once, from the first row on.
    """
    lines = []
    for task, name in enumerate(run.dataset.schema.tasks):
        for split in run.protocol.evaluation_splits:
            counts = user_counts(run, split, task)
            lines.append(
                (
                    name,
                    split.name,
                    len(counts.test),
                    float(np.median(counts.before)),
                    float(np.median(counts.test)),
                    _share(counts.positives_before, counts.before),
                    _share(counts.positives_test, counts.test),
                    spread(counts),
                    drift(counts),
                )
            )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def user_counts(run: Run, split: EvaluationSplit, task: int) -> Counts:
    """Count the rows of each test user in which `task` is observed, and the positives."""
    labels = run.dataset.task_labels[:, task]
    seen = _cumulated(~np.isnan(labels))
    positives = _cumulated(labels == 1)
    query = split.test.query  # [E, Q], rows ascend, then padding
    users, place = np.unique(split.test.users, return_inverse=True)
    first = np.full(len(users), len(labels), dtype=np.int64)
    stop = np.zeros(len(users), dtype=np.int64)
    np.minimum.at(first, place, query[:, 0])
    np.maximum.at(stop, place, query.max(axis=1) + 1)
    start = run.dataset.user_offsets[users]
    return Counts(
        *(each[end] - each[begin] for begin, end in ((start, first), (first, stop))
          for each in (seen, positives))
    )  # fmt: skip


def spread(counts: Counts) -> float:
    """Standard deviation of users' shares of positives, beyond what chance gives.

    It is estimated by moments: the variance of the observed shares p over n rows, minus the mean of
    p (1 - p) / (n - 1), which estimates the variance that chance adds. Users with one row are left
    out; nan without two users.

    Example:
        >>> zero = np.zeros(2)
        >>> spread(Counts(zero, zero, np.array([10.0, 10.0]), np.array([10.0, 0.0])))  # all or none
        0.5
    """
    n, positives = counts.before + counts.test, counts.positives_before + counts.positives_test
    many = n >= 2
    if many.sum() < 2:
        return float("nan")
    p = positives[many] / n[many]
    variance = p.var() - (p * (1 - p) / (n[many] - 1)).mean()
    return float(np.sqrt(max(variance, 0.0)))


def drift(counts: Counts) -> float:
    """Standard deviation of the change in users' shares of positives, beyond what chance gives.

    The change is from the rows before the test to the test. It is estimated by moments, as
    :func:`spread` is; users with fewer than two rows on a side are left out. nan without users.

    Example:
        >>> n = np.array([10.0, 10.0])
        >>> drift(Counts(n, np.array([10.0, 0.0]), n, np.array([0.0, 0.0])))  # one of two turns
        0.7071067811865476
    """
    many = (counts.before >= 2) & (counts.test >= 2)
    if not many.any():
        return float("nan")
    before, test = counts.before[many], counts.test[many]
    p, q = counts.positives_before[many] / before, counts.positives_test[many] / test
    chance = p * (1 - p) / (before - 1) + q * (1 - q) / (test - 1)
    return float(np.sqrt(max(((p - q) ** 2 - chance).mean(), 0.0)))


def _share(positives: Floats, rows: Floats) -> float:
    total = rows.sum()
    return float(positives.sum() / total) if total else float("nan")


def _cumulated(flags: np.ndarray) -> Floats:
    """``[N + 1]``: how many of the first n rows have the flag."""
    counts: Ints = np.cumsum(flags, dtype=np.int64)
    return np.concatenate([[0], counts]).astype(np.float64)

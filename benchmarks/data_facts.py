"""What the data behind a table are like, from the rows that its test uses: ``data.csv``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from metaselector.data.interactions import Floats, Ints
from metaselector.data.profile.user_rates import Counts, drift, spread
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


def data_facts(run: Run) -> pd.DataFrame:
    """One line per task and evaluation split of a run with prepared data, columns :data:`COLUMNS`.

    ``users`` are the test users, ``rows_before`` and ``test_rows`` their median numbers of rows,
    ``positives_before`` and ``positives_test`` shares of all their rows. ``spread`` is
    :func:`~metaselector.data.profile.user_rates.spread` and ``drift``
    :func:`~metaselector.data.profile.user_rates.drift`. A user with several test episodes, as new
    users after a date have, counts once, from the first row on.
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


def _share(positives: Floats, rows: Floats) -> float:
    total = rows.sum()
    return float(positives.sum() / total) if total else float("nan")


def _cumulated(flags: np.ndarray) -> Floats:
    """``[N + 1]``: how many of the first n rows have the flag."""
    counts: Ints = np.cumsum(flags, dtype=np.int64)
    return np.concatenate([[0], counts]).astype(np.float64)

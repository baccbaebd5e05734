"""What scikit-learn's users look for: probabilities of both classes, and a score."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.common.errors import ConfigError, nearest
from metaselector.data.preparation.given_labels import positives_of
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import checked, keys
from metaselector.evaluate.metrics import METRICS
from metaselector.inference.trained import TrainedModel

LOSSES = ("logloss",)
"""Metrics of which less is better, so that a score is minus their value."""


def both_classes(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of a negative and of a positive, ``[n, 2]`` or ``[n, T, 2]``.

    Example:
        >>> both_classes(np.array([0.25, 1.0])).tolist()
        [[0.75, 0.25], [0.0, 1.0]]
    """
    return np.stack([1 - probabilities, probabilities], axis=-1)


def score_of(
    model: TrainedModel,
    candidates: RawRows,
    probabilities: NDArray[np.float64],
    metric: str,
    task: str | None,
) -> float:
    """The metric of the rows whose label of the task is observed; more is better.

    Args:
        candidates: labelled rows.
        probabilities: their predictions, ``[n]`` or ``[n, T]``.
        metric: one of :data:`~metaselector.evaluate.metrics.METRICS`; of ``logloss``, minus it.
        task: by default the first.

    Raises:
        ConfigError: there is no such metric or task.
        DataError: a label is missing or wrong.
    """
    tasks = model.encoder.schema.tasks
    task = tasks[0] if task is None else task
    for what, name, known in (("metric", metric, METRICS), ("task", task, tasks)):
        if name not in known:
            raise ConfigError(f"score: unknown {what} '{name}'; {nearest(name, known)}")
    candidates.require(model.encoder, labelled=True)
    place, column = tasks.index(task), model.encoder.rows.column("user")
    labels = [positives_of(model.encoder, block)[:, place] for block in candidates.blocks]
    users = [checked(block, column, keys).to_pylist() for block in candidates.blocks]
    y = np.concatenate([np.zeros(0), *labels])
    p = probabilities.reshape(len(y), len(tasks))[:, place]
    rows = pd.DataFrame({"y": y, "p": p, "user": list(chain(*users))}).dropna(subset=["y"])
    value = METRICS[metric](rows["y"], rows["p"], rows["user"])
    return -value if metric in LOSSES else value

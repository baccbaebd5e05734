"""Metrics of each task, on the rows where it is observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


class TaskMetrics(NamedTuple):
    """Metrics of one task.

    Attributes:
        rows: number of rows that observe the task.
        auc: nan for a numeric task, and if all labels are equal.
        logloss: mean in nats; nan for a numeric task.
        rmse: nan for a binary task.
    """

    rows: int
    auc: float
    logloss: float
    rmse: float

    @property
    def loss(self) -> float:
        """The training loss: logloss, or mean squared error of a numeric task."""
        return self.rmse**2 if math.isnan(self.logloss) else self.logloss


def task_metrics(outputs: Tensor, labels: Tensor, numeric: Sequence[bool]) -> list[TaskMetrics]:
    """Metrics of each task; all nan for a task that no row observes.

    A task that follows another is observed only where the other is 1. So the AUC of conversions,
    for example, covers clicked rows only.

    Args:
        outputs: logits, or predicted values of numeric tasks, ``[n, T]``.
        labels: ``[n, T]``, nan where a task is not observed.
        numeric: whether each task's label is numeric, ``[T]``.
    """
    metrics = []
    for output, label, number in zip(outputs.T.double(), labels.T.double(), numeric, strict=True):
        seen = ~label.isnan()
        output, label = output[seen], label[seen]
        rows = len(label)
        if rows == 0:
            metrics.append(TaskMetrics(0, math.nan, math.nan, math.nan))
        elif number:
            metrics.append(TaskMetrics(rows, math.nan, math.nan, math.sqrt(_mse(output, label))))
        else:
            logloss = F.binary_cross_entropy_with_logits(output, label).item()
            metrics.append(TaskMetrics(rows, _auc(output, label), logloss, math.nan))
    return metrics


def _mse(output: Tensor, label: Tensor) -> float:
    return F.mse_loss(output, label).item()


def _auc(output: Tensor, label: Tensor) -> float:
    if len(label.unique()) < 2 or not bool(torch.isfinite(output).all()):
        return math.nan
    from sklearn.metrics import roc_auc_score  # slow to import

    return float(roc_auc_score(np.asarray(label), np.asarray(output)))

"""How well every task is predicted, on the rows where it is observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F


class TaskMetrics(NamedTuple):
    """Attributes:

    rows: how many observe the task.
    auc: nan for a number, and where all labels are the same.
    logloss: mean, in nats; nan for a number.
    rmse: nan for a label of 0 and 1.
    """

    rows: int
    auc: float
    logloss: float
    rmse: float

    @property
    def loss(self) -> float:
        """What training minimises: the logloss, or of a number the mean squared error."""
        return self.rmse**2 if math.isnan(self.logloss) else self.logloss


def task_metrics(outputs: Tensor, labels: Tensor, numeric: Sequence[bool]) -> list[TaskMetrics]:
    """Metrics of each task; all are nan where no row observes it.

    A task that follows another is observed only where that one is 1, and so is its AUC: for one,
    that of a conversion is measured on clicked rows.

    Args:
        outputs: logits, or the numbers themselves, ``[n, T]``.
        labels: ``[n, T]``, nan where a task is not observed.
        numeric: whether the task's label is a number, ``[T]``.
    """
    found = []
    for output, label, number in zip(outputs.T.double(), labels.T.double(), numeric, strict=True):
        seen = ~label.isnan()
        output, label = output[seen], label[seen]
        rows = len(label)
        if rows == 0:
            found.append(TaskMetrics(0, math.nan, math.nan, math.nan))
        elif number:
            found.append(TaskMetrics(rows, math.nan, math.nan, math.sqrt(_mse(output, label))))
        else:
            logloss = F.binary_cross_entropy_with_logits(output, label).item()
            found.append(TaskMetrics(rows, _auc(output, label), logloss, math.nan))
    return found


def _mse(output: Tensor, label: Tensor) -> float:
    return F.mse_loss(output, label).item()


def _auc(output: Tensor, label: Tensor) -> float:
    if len(label.unique()) < 2 or not bool(torch.isfinite(output).all()):
        return math.nan
    return float(roc_auc_score(np.asarray(label), np.asarray(output)))

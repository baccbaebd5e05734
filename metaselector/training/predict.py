"""What a base model predicts, and its loss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.distributed import workers
from metaselector.training.multi_task.objective import (
    has_tasks,
)

PREDICTION_ROWS = 8192
"""Rows predicted at once: bounds memory, changes no number."""


def labels_for(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> Tensor:
    """Labels that `model` learns: ``[n, T]`` with nan, or of the first task alone ``[n]``."""
    of_tasks = dataset.task_labels if has_tasks(model) else dataset.labels
    return torch.from_numpy(np.asarray(of_tasks[rows]))


@torch.no_grad()
def predict(
    model: nn.Module,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    history_limits: NDArray[np.int64] | None = None,
) -> Tensor:
    """Logits of the given rows, ``[n]`` or ``[n, T]``, in evaluation mode, on the CPU.

    Args:
        history_limits: as in :meth:`EncodedDataset.batch`.
    """
    device = next(model.parameters()).device
    model.eval()
    chunks = []
    for i in range(0, len(rows), PREDICTION_ROWS):
        piece = slice(i, i + PREDICTION_ROWS)
        if i // PREDICTION_ROWS % workers.count() == workers.rank():
            limits = None if history_limits is None else history_limits[piece]
            chunks.append(model(dataset.batch(rows[piece], limits).to(device)).cpu())
        else:
            chunks.append(torch.zeros(len(rows[piece]), *_of_row(model)))
    found = torch.cat(chunks)
    # What other workers have predicted is 0 here, and a sum with zeros is exact.
    return torch.from_numpy(workers.summed(found.numpy()))


def _of_row(model: nn.Module) -> tuple[int, ...]:
    """The shape of a model's logits of one row."""
    return (len(model.tasks),) if has_tasks(model) else ()


def logloss(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> float:
    """Mean logloss of the given rows in the first task, in nats, of a model of one task."""
    labels = labels_for(model, dataset, rows)
    return F.binary_cross_entropy_with_logits(predict(model, dataset, rows), labels).item()

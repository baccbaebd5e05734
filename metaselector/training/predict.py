"""Predictions of a base model, and their logloss."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.on_rows import join, outputs
from metaselector.training.distributed import workers
from metaselector.training.multi_task.objective import has_tasks

PREDICTION_ROWS = 8192
"""Rows per chunk; limits memory use and does not change results."""


def labels_for(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> Tensor:
    """Labels for `model`: ``[n, T]`` with nan where unobserved, or the first task's ``[n]``."""
    labels = dataset.task_labels if has_tasks(model) else dataset.labels
    return torch.from_numpy(np.asarray(labels[rows]))


@torch.no_grad()
def predict(
    model: nn.Module,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    history_limits: NDArray[np.int64] | None = None,
) -> Tensor:
    """Logits ``[n]`` or ``[n, T]`` of the given rows on the CPU, in evaluation mode.

    Args:
        history_limits: as in :meth:`EncodedDataset.batch`.
    """
    device = next(model.parameters()).device
    model.eval()
    # Chunks kept one by one, between temporary tensors, would leave holes in memory of many GB.
    found = torch.zeros(len(rows), *_row_shape(model))
    starts = range(0, len(rows), PREDICTION_ROWS)
    for i in starts[workers.rank() :: workers.count()]:
        chunk = slice(i, i + PREDICTION_ROWS)
        limits = None if history_limits is None else history_limits[chunk]
        part = outputs(model, dataset.batch(rows[chunk], limits).to(device)).cpu()
        found = found.to(part.dtype)  # of the outputs, whatever parameters have
        found[chunk] = part
    if workers.left_over(len(starts)):
        join(model)
    # Chunks of other workers are 0 here, and adding zeros is exact.
    return torch.from_numpy(workers.summed(found.numpy()))


def _row_shape(model: nn.Module) -> tuple[int, ...]:
    """Shape of a model's logits for one row."""
    return (len(model.tasks),) if has_tasks(model) else ()


def logloss(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> float:
    """Mean logloss of a single-task model on the given rows, in nats."""
    labels = labels_for(model, dataset, rows)
    return F.binary_cross_entropy_with_logits(predict(model, dataset, rows), labels).item()

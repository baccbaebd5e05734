"""Predictions of base models, and their logloss."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.on_rows import join, outputs
from metaselector.models.precomputed import Scored
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
    for chunk in _chunks(len(rows), [model]):
        limits = None if history_limits is None else history_limits[chunk]
        part = outputs(model, dataset.batch(rows[chunk], limits).to(device)).cpu()
        found = found.to(part.dtype)  # of the outputs, whatever parameters have
        found[chunk] = part
    # Chunks of other workers are 0 here, and adding zeros is exact.
    return torch.from_numpy(workers.summed(found.numpy()))


@torch.no_grad()
def mean_probability(
    models: Collection[nn.Module], dataset: EncodedDataset, rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean probability ``[n]`` of the first task over `models`, in evaluation mode.

    As the mean of :func:`predict`, but the rows are assembled once for all models.

    Args:
        models: base models, or columns of ``dataset.scores``.
    """
    trained = [model for model in models if not isinstance(model, Scored)]
    for model in trained:
        model.eval()
    total = torch.zeros(len(rows), dtype=torch.float64)
    for chunk in _chunks(len(rows), trained):
        batch = dataset.batch(rows[chunk])
        for model in models:
            if isinstance(model, Scored):
                assert dataset.scores is not None
                column = model.slot - dataset.schema.num_slots
                logits = torch.from_numpy(dataset.scores[rows[chunk], column])
            else:
                logits = outputs(model, batch.to(next(model.parameters()).device)).cpu()
            total[chunk] += torch.sigmoid(logits.reshape(len(logits), -1)[:, 0].double())
    mean: NDArray[np.float64] = workers.summed(total.numpy()) / len(models)
    return mean


def _chunks(rows: int, models: Collection[nn.Module]) -> Iterator[slice]:
    """This worker's chunks of so many rows, for each of which `models` predict."""
    starts = range(0, rows, PREDICTION_ROWS)
    for i in starts[workers.rank() :: workers.count()]:
        yield slice(i, i + PREDICTION_ROWS)
    if workers.left_over(len(starts)):
        for model in models:
            join(model)


def _row_shape(model: nn.Module) -> tuple[int, ...]:
    """Shape of a model's logits for one row."""
    return (len(model.tasks),) if has_tasks(model) else ()


def logloss(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> float:
    """Mean logloss of a single-task model on the given rows, in nats."""
    labels = labels_for(model, dataset, rows)
    return F.binary_cross_entropy_with_logits(predict(model, dataset, rows), labels).item()

"""Training base models on all users' rows of a window."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.adapt.intercept import Intercept
from metaselector.adapt.lookups import Lookups
from metaselector.config import PretrainConfig
from metaselector.data.batch import Batch
from metaselector.data.dataset import EncodedDataset
from metaselector.early_stopping import EarlyStopping
from metaselector.errors import ConfigError
from metaselector.progress import Progress


class Pretrained(NamedTuple):
    """Attributes:

    epochs: passes over the rows behind the weights that were kept.
    history: per epoch ``epoch, train_loss, valid_loss``, mean logloss in nats.
    seconds: wall-clock time of the training.
    """

    epochs: int
    history: list[dict[str, Any]]
    seconds: float


PREDICTION_ROWS = 8192
"""Rows predicted at once: bounds memory, changes no number."""


def pretrain(
    model: nn.Module,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    config: PretrainConfig,
    generator: np.random.Generator,
    *,
    valid: NDArray[np.int64] | None,
    epochs: int,
    description: str,
    progress: Progress,
) -> Pretrained:
    """Fit `model` to the labels of `rows` with Adam, in place.

    Args:
        valid: rows whose logloss decides when to stop; the weights of the best epoch are kept.
            None trains for exactly `epochs`, which is how a model is refitted.
        epochs: passes over `rows`, at most where `valid` is given.
        description: what the progress bar calls it.

    Raises:
        ConfigError: the loss on `valid` is infinite or no number after every epoch.
    """
    started = time.perf_counter()
    device = next(model.parameters()).device
    batch, labels = dataset.batch(rows).to(device), dataset.label(rows).to(device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    stopping = EarlyStopping(config.patience)
    history: list[dict[str, Any]] = []
    best: dict[str, Tensor] = {}
    with progress.task(description, epochs) as advance, torch.random.fork_rng():
        torch.manual_seed(int(generator.integers(2**31)))  # for dropout
        for epoch in range(1, epochs + 1):
            model.train()
            losses: list[Tensor] = []
            for index in _shuffled(len(rows), config.batch_size, generator):
                chosen = index.to(device)
                with Intercept(Lookups().handlers):  # for their fast gradients
                    logits = model(Batch(*(slots.index_select(0, chosen) for slots in batch)))
                loss = F.binary_cross_entropy_with_logits(logits, labels[chosen])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            advance()
            valid_loss = None if valid is None else logloss(model, dataset, valid)
            train_loss = torch.stack(losses).mean().item()
            history.append({"epoch": epoch, "train_loss": train_loss, "valid_loss": valid_loss})
            if valid_loss is None:
                continue
            if stopping.improved(epoch, valid_loss):
                best = copy.deepcopy(model.state_dict())  # state_dict() aliases the weights
            elif stopping.exhausted(epoch):
                break
    model.eval()
    if valid is None:
        return Pretrained(epochs, history, time.perf_counter() - started)
    if not best:
        raise ConfigError(
            f"{description}: the valid logloss is infinite or no number after every epoch; lower "
            "the model's pretrain.learning_rate"
        )
    model.load_state_dict(best)
    return Pretrained(stopping.best_epoch, history, time.perf_counter() - started)


def _shuffled(n: int, size: int, generator: np.random.Generator) -> Iterator[Tensor]:
    order = torch.from_numpy(generator.permutation(n))
    return iter(order.split(size))


@torch.no_grad()
def predict(
    model: nn.Module,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    history_limits: NDArray[np.int64] | None = None,
) -> Tensor:
    """Logits of the given rows, ``[len(rows)]``, in evaluation mode, on the CPU.

    Args:
        history_limits: as in :meth:`EncodedDataset.batch`.
    """
    device = next(model.parameters()).device
    model.eval()
    chunks = []
    for i in range(0, len(rows), PREDICTION_ROWS):
        piece = slice(i, i + PREDICTION_ROWS)
        limits = None if history_limits is None else history_limits[piece]
        chunks.append(model(dataset.batch(rows[piece], limits).to(device)).cpu())
    return torch.cat(chunks)


def logloss(model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64]) -> float:
    """Mean logloss of the given rows, in nats."""
    labels = dataset.label(rows)
    return F.binary_cross_entropy_with_logits(predict(model, dataset, rows), labels).item()

"""The models that are timed against each other, ours and those of other libraries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.common.progress import Silent
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.predict import PREDICTION_ROWS
from metaselector.training.pretrain import pretrain

Inputs = Tensor | Mapping[str, Tensor]
"""What a model's ``forward`` takes; the first axis of each tensor is rows."""
New = Callable[[], nn.Module]
"""Creates an untrained model."""


class Contender(NamedTuple):
    """What is timed of a model.

    Attributes:
        train: makes one pass over the rows.
        predict: returns the probabilities of the rows, ``[n]``, or ``[n, T]`` for several tasks.
    """

    train: Callable[[], object]
    predict: Callable[[], Tensor]


class Settings(NamedTuple):
    """What our models and the peers share."""

    embedding_size: int
    hidden_sizes: tuple[int, ...]
    learning_rate: float
    batch_size: int
    device: str


def pretraining(
    model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64], config: PretrainConfig
) -> Callable[[], object]:
    """One epoch in the loop of ``metaselector pretrain``, reading the rows included."""
    generator = np.random.default_rng(0)

    def train() -> object:
        return pretrain(
            model,
            dataset,
            rows,
            config,
            generator,
            valid=None,
            epochs=1,
            description="",
            progress=Silent(),
        )

    return train


def check_learned(contenders: Mapping[str, Contender], labels: Tensor) -> dict[str, float]:
    """Logloss of each contender in nats.

    Raises:
        RuntimeError: one predicts no better than the mean label, so it was not trained.
    """
    positive = labels.mean().item()
    entropy = -positive * math.log(positive) - (1 - positive) * math.log(1 - positive)
    losses = {
        name: F.binary_cross_entropy(each.predict().float(), labels).item()
        for name, each in contenders.items()
    }
    for name, loss in losses.items():
        if not loss < entropy:
            raise RuntimeError(f"{name} has learned nothing: logloss {loss}, mean label {entropy}")
    return losses


def adam(model: nn.Module, settings: Settings, fused: bool = False) -> torch.optim.Adam:
    """Adam with the shared learning rate."""
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=fused or None)


def bare_loops(
    name: str,
    new: New,
    inputs: Inputs,
    labels: Tensor,
    settings: Settings,
    outputs: Callable[[Tensor], Tensor] = torch.flatten,
) -> dict[str, Contender]:
    """A peer's model in the shortest possible loop over prepared batches, Adam plain and fused.

    Args:
        labels: ``[n]``, or ``[n, T]`` for several tasks, whose mean loglosses are summed.
        outputs: turns what the model returns into probabilities in the shape of `labels`.
    """
    n = len(labels)
    tasks = labels[0].numel()

    def cut(rows: Tensor) -> Inputs:
        if isinstance(inputs, Tensor):
            return inputs[rows].to(settings.device)
        return {field: ids[rows].to(settings.device) for field, ids in inputs.items()}

    batches = [
        (cut(rows), labels[rows].to(settings.device))
        for rows in torch.randperm(n).split(settings.batch_size)
    ]
    in_order = [cut(rows) for rows in torch.arange(n).split(PREDICTION_ROWS)]

    def contender(fused: bool) -> Contender:
        model = new().to(settings.device)
        optimizer = adam(model, settings, fused)

        def train() -> None:
            model.train()
            for batch, answers in batches:
                loss = tasks * F.binary_cross_entropy(outputs(model(batch)), answers)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        @torch.no_grad()
        def predict() -> Tensor:
            model.eval()
            return torch.cat([outputs(model(batch)).cpu() for batch in in_order])

        return Contender(train, predict)

    return {f"{name} loop": contender(False), f"{name} loop, fused Adam": contender(True)}

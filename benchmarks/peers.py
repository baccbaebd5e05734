"""What it takes to run another library's models on our rows.

The libraries take what ours takes: a field of one slot as a categorical feature, a field of several
as a sequence that is pooled by its mean, every field with a table of as many rows (and one for
padding) and the same width. Neither takes a weight for a word, so both pool the genres of the
history unweighted.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.common.errors import UserError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID
from metaselector.training.predict import PREDICTION_ROWS

PEERS = ("deepctr-torch", "torch-rechub")


class Contender(NamedTuple):
    """What is timed of a model.

    Attributes:
        train: makes one pass over the rows.
        predict: returns the probabilities of the rows, ``[n]``, or ``[n, T]`` of several tasks.
    """

    train: Callable[[], object]
    predict: Callable[[], Tensor]


class Column(NamedTuple):
    """A field as the peers take it.

    Attributes:
        size: rows of its embedding table.
        ids: int64 ``[n, slots]``, 0 is padding.
    """

    size: int
    ids: Tensor


class Settings(NamedTuple):
    """What ours and the peers share."""

    embedding_size: int
    hidden_sizes: tuple[int, ...]
    learning_rate: float
    batch_size: int
    device: str


Cut = Callable[[Tensor], Any]
"""The inputs of the given rows, as a peer's ``forward`` takes them."""


def columns(dataset: EncodedDataset, rows: NDArray[np.int64]) -> dict[str, Column]:
    """The slots of `rows` by field, each field with an id space of its own."""
    ids = dataset.batch(rows).ids
    found: dict[str, Column] = {}
    start = 0
    for field in dataset.schema.fields:
        shared = ids[:, start : start + field.slots]  # [n, slots]
        own = torch.where(shared == PADDING_ID, 0, shared - field.first_id + 1)
        found[field.name] = Column(field.num_ids + 1, own)
        start += field.slots
    return found


@contextmanager
def installed() -> Iterator[None]:
    """Says what to do if a peer that is imported here is not installed.

    Raises:
        UserError: it is not.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; run `make benchmark-peers`") from error


def deepctr_torch_features(fields: Mapping[str, Column], embedding_size: int) -> list[Any]:
    """The fields as DeepCTR-Torch's models take them."""
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat

    def feature(name: str, size: int, slots: int) -> Any:
        one = SparseFeat(name, size, embedding_size)
        return one if slots == 1 else VarLenSparseFeat(one, slots, "mean")

    return [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]


def deepctr_torch_inputs(fields: Mapping[str, Column]) -> Tensor:
    """The slots as DeepCTR-Torch's models take them, float ``[n, C]``."""
    return torch.cat([column.ids for column in fields.values()], dim=1).float()


def torch_rechub_features(fields: Mapping[str, Column], embedding_size: int) -> list[Any]:
    """The fields as torch-rechub's models take them.

    A feature keeps its table, so that every model needs features of its own.
    """
    from torch_rechub.basic.features import SequenceFeature, SparseFeature

    def feature(name: str, size: int, slots: int) -> Any:
        kind = SparseFeature if slots == 1 else SequenceFeature
        return kind(name, size, embedding_size, padding_idx=0)

    return [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]


def torch_rechub_inputs(fields: Mapping[str, Column]) -> dict[str, Tensor]:
    """The slots as torch-rechub's models take them, int64 ``[n]`` or ``[n, slots]``."""
    return {name: ids.squeeze(1) for name, (_, ids) in fields.items()}


def hide_progress(trainer_module: Any) -> None:
    """Take the progress bars out of one of torch-rechub's modules of trainers."""
    from tqdm import tqdm

    trainer_module.tqdm = types.SimpleNamespace(tqdm=partial(tqdm, disable=True))


def torch_rechub_loaders(
    inputs: Mapping[str, Tensor], labels: Tensor, settings: Settings
) -> tuple[Any, Any]:
    """The library's own loaders of the rows: to train on, and to predict."""
    from torch_rechub.utils.data import DataGenerator

    loaders = partial(
        DataGenerator(inputs, labels).generate_dataloader,
        x_val={},
        y_val=[],
        x_test=inputs,
        y_test=labels,
    )
    train, _, _ = loaders(batch_size=settings.batch_size)
    _, _, test = loaders(batch_size=PREDICTION_ROWS)
    return train, test


def adam(model: nn.Module, settings: Settings, fused: bool = False) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=fused or None)


def bare(
    name: str,
    new: Callable[[], nn.Module],
    cut: Cut,
    labels: Tensor,
    settings: Settings,
    outputs: Callable[[Tensor], Tensor] = torch.flatten,
) -> dict[str, Contender]:
    """Their module in the shortest loop there is, on batches that are made before.

    The loop runs with Adam plain and fused.

    Args:
        labels: ``[n]``, or ``[n, T]`` of several tasks, whose mean loglosses are summed.
        outputs: makes probabilities in the shape of `labels` of what the module returns.
    """
    n = len(labels)
    tasks = labels[0].numel()
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
            for inputs, answers in batches:
                loss = tasks * F.binary_cross_entropy(outputs(model(inputs)), answers)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        @torch.no_grad()
        def predict() -> Tensor:
            model.eval()
            return torch.cat([outputs(model(inputs)).cpu() for inputs in in_order])

        return Contender(train, predict)

    return {f"{name} loop": contender(False), f"{name} loop, fused Adam": contender(True)}

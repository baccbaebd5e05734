"""Our rows as the models of DeepCTR-Torch and torch-rechub read them, and their training loops.

Both libraries read the same fields as our models: a field of one slot is a categorical feature,
a field of several slots a sequence that is pooled by its mean. Every field has an embedding table
with as many rows as ids, plus one for padding, and all tables have the same width. Neither library
accepts a weight per word, so both pool the genres of the history unweighted.
"""

from __future__ import annotations

import io
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.contenders import Contender, New, Settings, adam, bare_loops
from metaselector.common.errors import UserError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID
from metaselector.training.predict import PREDICTION_ROWS

PEERS = ("deepctr-torch", "torch-rechub")


class Column(NamedTuple):
    """A field as the peers read it.

    Attributes:
        size: rows of its embedding table.
        ids: int64 ``[n, slots]``, 0 is padding.
    """

    size: int
    ids: Tensor


def columns(dataset: EncodedDataset, rows: NDArray[np.int64]) -> dict[str, Column]:
    """The slots of `rows` by field; each field has its own id space."""
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
    """Turn a failing import of a peer into a message that says how to install it.

    Raises:
        UserError: a peer that is imported inside is not installed.
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


def deepctr_torch_contenders(
    new: New,
    fields: Mapping[str, Column],
    labels: Tensor,
    settings: Settings,
    outputs: Callable[[Tensor], Tensor] = torch.flatten,
) -> dict[str, Contender]:
    """A model of DeepCTR-Torch in its library's loop and in :func:`bare_loops`.

    Args:
        labels: float, ``[n]`` for one task, ``[n, T]`` for several.
        outputs: see :func:`bare_loops`.
    """
    inputs = deepctr_torch_inputs(fields)
    x, y = inputs.numpy(), labels.numpy()
    loss = "binary_crossentropy"
    model: Any = new()
    model.compile(adam(model, settings), [loss] * labels.shape[1] if labels.ndim == 2 else loss)

    def fit() -> None:
        with redirect_stdout(io.StringIO()):
            model.fit([x], y, settings.batch_size, verbose=0)

    def predict() -> Tensor:
        return torch.from_numpy(model.predict([x], PREDICTION_ROWS)).view(labels.shape)

    loops = bare_loops("deepctr-torch", new, inputs, labels, settings, outputs)
    return {"deepctr-torch fit": Contender(fit, predict)} | loops


def torch_rechub_features(fields: Mapping[str, Column], embedding_size: int) -> list[Any]:
    """The fields as torch-rechub's models take them.

    A feature keeps its table, so every model needs its own features.
    """
    from torch_rechub.basic.features import SequenceFeature, SparseFeature

    def feature(name: str, size: int, slots: int) -> Any:
        kind = SparseFeature if slots == 1 else SequenceFeature
        return kind(name, size, embedding_size, padding_idx=0)

    return [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]


def torch_rechub_inputs(fields: Mapping[str, Column]) -> dict[str, Tensor]:
    """The slots as torch-rechub's models take them, int64 ``[n]`` or ``[n, slots]``."""
    return {name: ids.squeeze(1) for name, (_, ids) in fields.items()}


def torch_rechub_trainer_options(trainer_module: Any, settings: Settings) -> dict[str, Any]:
    """Options of torch-rechub's trainers; also turns off the module's progress bars."""
    from tqdm import tqdm

    trainer_module.tqdm = types.SimpleNamespace(tqdm=partial(tqdm, disable=True))
    return {"optimizer_params": {"lr": settings.learning_rate}, "device": settings.device}


def torch_rechub_loaders(
    inputs: Mapping[str, Tensor], labels: Tensor, settings: Settings
) -> tuple[Any, Any]:
    """The library's own loaders of the rows, one for training and one for prediction."""
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

"""Rows, loaders and trainers for models of torch-rechub."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from benchmarks.contenders import Settings
from benchmarks.peers import Column
from metaselector.training.predict import PREDICTION_ROWS


def features(fields: Mapping[str, Column], embedding_size: int) -> list[Any]:
    """The fields as torch-rechub's models take them.

    A feature keeps its table, so every model needs its own features.
    """
    from torch_rechub.basic.features import SequenceFeature, SparseFeature

    def feature(name: str, size: int, slots: int) -> Any:
        kind = SparseFeature if slots == 1 else SequenceFeature
        return kind(name, size, embedding_size, padding_idx=0)

    return [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]


def inputs(fields: Mapping[str, Column]) -> dict[str, Tensor]:
    """The slots as torch-rechub's models take them, int64 ``[n]`` or ``[n, slots]``."""
    return {name: ids.squeeze(1) for name, (_, ids) in fields.items()}


def trainer_options(trainer_module: Any, settings: Settings) -> dict[str, Any]:
    """Options of torch-rechub's trainers; also turns off the module's progress bars."""
    from tqdm import tqdm

    trainer_module.tqdm = types.SimpleNamespace(tqdm=partial(tqdm, disable=True))
    return {"optimizer_params": {"lr": settings.learning_rate}, "device": settings.device}


def loaders(inputs: Mapping[str, Tensor], labels: Tensor, settings: Settings) -> tuple[Any, Any]:
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

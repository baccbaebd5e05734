"""Base models whose scores are columns beside the data: another system's, or an estimator's.

Nothing here adapts: joint MetaSelector leaves such a model as it is. The scores of another system
come from a file. What the system was trained on, nobody but its owner can tell: of one file for
all, no more than the rows of *early*, as selectors learn from rows after those. With ``{window}``
in its name there is a file for each window of
:data:`~metaselector.data.splitting.protocol.WINDOWS`: of *early*, of *train*, and, for the table,
of *full*, which is all rows before *test*. Those of an estimator are made by
:mod:`metaselector.runs.stages.fit_estimator`, for each window and seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.config import BaseModelConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.models.score_files import read_scores, scores_file

Models = Mapping[str, BaseModelConfig]


class Scored(nn.Module):
    """``logit = value of one slot``: a slot of scores, which no other model sees.

    Args:
        slot: its place, after the slots of the fields.
    """

    tables: tuple[str, ...] = ()
    reads_scores = True

    def __init__(self, slot: int) -> None:
        super().__init__()
        self.slot = slot

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B]``."""
        return batch[1][..., self.slot]


class FittedScores(nn.Module):
    """What a checkpoint keeps of an estimator: its logits ``[N]`` of all rows of the data set."""

    scores: Tensor

    def __init__(self, scores: NDArray[np.float32]) -> None:
        super().__init__()
        self.register_buffer("scores", torch.from_numpy(scores))


def scored_names(models: Models) -> list[str]:
    """The base models that are scores, in the order of their slots."""
    return [name for name, model in models.items() if model.gives_scores]


def scores_columns(models: Models, seeds: Sequence[int]) -> list[tuple[str, Window, int]]:
    """The base model, window and seed of each column of the data set's scores.

    A file has the same scores for all seeds, and one column for the first of them.
    """
    return [
        (name, window, seed)
        for name in scored_names(models)
        for window in WINDOWS
        for seed in (seeds[:1] if models[name].scores else seeds)
    ]


def scores_column(
    models: Models, seeds: Sequence[int], name: str, window: Window, seed: int
) -> int:
    """Which column of the data set's scores the base model of that name, window and seed reads."""
    of_seed = seeds[0] if models[name].scores else seed
    return scores_columns(models, seeds).index((name, window, of_seed))


def with_scores(
    dataset: EncodedDataset,
    models: Models,
    seeds: Sequence[int] = (0,),
    items: Callable[[], Sequence[str]] = tuple,
) -> EncodedDataset:
    """`dataset` with the logits of all base models that are scores, of every window.

    Those of estimators are nan until somebody fills them in.

    Args:
        items: gives what the items are called, by code, where a file has scores by item.

    Raises:
        ConfigError: the data has several tasks; or rows that are not told apart by ``row``; or
            there is an estimator, and users are new.
        DataError: as :func:`read_scores`.
    """
    names = scored_names(models)
    if not names:
        return dataset
    for name in names:
        _check(dataset, models, name)
    found = np.full((len(dataset), len(scores_columns(models, seeds))), np.nan, np.float32)
    for name in names:
        settings = models[name].scores
        if settings is None:
            continue
        read = {
            path: read_scores(dataset, settings, path, items() if settings.by else None)
            for path in dict.fromkeys(scores_file(settings, window) for window in WINDOWS)
        }
        for window in WINDOWS:
            column = scores_column(models, seeds, name, window, seeds[0])
            found[:, column] = read[scores_file(settings, window)]
    return replace(dataset, scores=found)


def _check(dataset: EncodedDataset, models: Models, name: str) -> None:
    file = models[name].scores
    where = f"base_models.{name}.{'estimator' if file is None else 'scores'}"
    if len(dataset.schema.tasks) > 1:
        raise ConfigError(f"{where}: the data has several tasks; only one works")
    by_row = file is not None and file.by is None
    if by_row and len(np.unique(dataset.source_rows)) < len(dataset):
        raise ConfigError(
            f"{where}: negatives were sampled for this data, so that several of its rows are one "
            "row of the file; bring the negatives in the file, or join by user and item"
        )
    if file is None and dataset.schema.protocol == "cold":
        raise ConfigError(
            f"{where}: works with protocol=warm only: a new user's rows are seen with less history "
            "in some tables than in others, and an estimator's run keeps one score a row"
        )

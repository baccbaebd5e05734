"""Base models whose scores are columns of the data set, from another system or an estimator.

They never adapt, not even in joint MetaSelector. The scores of another system come from a file.
With ``{window}`` in its name there is a file for each window of
:data:`~metaselector.data.splitting.protocol.WINDOWS`: *early*, *train*, and *full*, which is all
rows before *test*. The owner of the system must make sure that it was trained on rows of that
window only, or, with one file for all windows, on rows of *early* only, as selectors learn from the
rows after those. :mod:`metaselector.runs.stages.fit_estimator` computes the scores of an estimator
for each window and seed.
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
from metaselector.models.kept_estimators import FORMS, Kept
from metaselector.models.score_files import read_scores, scores_file

Models = Mapping[str, BaseModelConfig]
_FITTED = "fitted_"
"""Prefix of the tensor with the bytes of a fitted estimator; its form ends the name."""


class Scored(nn.Module):
    """``logit = value of one slot`` of scores, which no other model sees.

    Args:
        slot: index of the slot, after those of the fields.
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
    """What a checkpoint keeps of an estimator.

    Args:
        scores: logits ``[N]`` of all rows of the data.
        kept: the fitted estimator, if it can be kept.
    """

    scores: Tensor

    def __init__(self, scores: NDArray[np.float32], kept: Kept | None = None) -> None:
        super().__init__()
        self.register_buffer("scores", torch.from_numpy(scores))
        if kept is not None:
            fitted = torch.frombuffer(bytearray(kept.data), dtype=torch.uint8)
            self.register_buffer(f"{_FITTED}{kept.form}", fitted)


def kept_in(tensors: Mapping[str, Tensor]) -> Kept | None:
    """The fitted estimator in the tensors of :class:`FittedScores`, if it was kept."""
    for form in FORMS:
        if (fitted := tensors.get(f"{_FITTED}{form}")) is not None:
            return Kept(form, fitted.numpy().tobytes())
    return None


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
    """Add the logits of all base models that are scores, for every window, to `dataset`.

    The logits of estimators are nan until they are fitted.

    Args:
        items: returns the names of the items, by code; called if a file has scores by item.

    Raises:
        ConfigError: the data has several tasks, or several rows with the same ``row``, or there is
            an estimator and the protocol is not warm.
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
        raise ConfigError(f"{where}: works with a single task only, but the data has several tasks")
    by_row = file is not None and file.by is None
    if by_row and len(np.unique(dataset.source_rows)) < len(dataset):
        raise ConfigError(
            f"{where}: negatives were sampled for this data, so several of its rows share one row "
            "number; put the negatives into the file, or join by user and item"
        )
    if file is None and dataset.schema.protocol != "warm":
        raise ConfigError(
            f"{where}: works with protocol=warm only: otherwise the history of a row depends on "
            "the support set, but a run keeps one score of an estimator per row"
        )

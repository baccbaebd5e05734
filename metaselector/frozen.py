"""Base models that another system has trained: their scores come from a file.

Nothing here trains or adapts: joint MetaSelector leaves such a model as it is. What the system was
trained on, nobody but its owner can tell: of one file for all, no more than the rows of *early*, as
selectors learn from rows after those. With ``{window}`` in its name there is a file for each window
of :data:`~metaselector.data.protocol.WINDOWS`: of *early*, of *train*, and, for the table, of
*full*, which is all rows before *test*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.config import BaseModelConfig, ScoresConfig
from metaselector.data.batch import Batch
from metaselector.data.dataset import EncodedDataset
from metaselector.data.protocol import WINDOWS, Window
from metaselector.errors import ConfigError, DataError, nearest

PLACE = "{window}"
_FLOOR = 1e-6
"""Probabilities are kept so far from 0 and 1."""


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


def scored_names(models: Mapping[str, BaseModelConfig]) -> list[str]:
    """The base models that are scores, in the order of their slots."""
    return [name for name, model in models.items() if model.scores is not None]


def scores_column(models: Mapping[str, BaseModelConfig], name: str, window: Window) -> int:
    """Which column of the data set's scores the base model of that name and window reads."""
    return scored_names(models).index(name) * len(WINDOWS) + WINDOWS.index(window)


def scores_file(settings: ScoresConfig, window: Window) -> Path:
    """The file of one window."""
    return Path(settings.file.replace(PLACE, window))


def with_scores(dataset: EncodedDataset, models: Mapping[str, BaseModelConfig]) -> EncodedDataset:
    """`dataset` with the logits of all base models that are scores, of every window.

    Raises:
        ConfigError: the data has several tasks, or rows that are not told apart by ``row``.
        DataError: as :func:`read_scores`.
    """
    files = {name: model.scores for name, model in models.items() if model.scores is not None}
    if not files:
        return dataset
    name = next(iter(files))
    if len(dataset.schema.tasks) > 1:
        raise ConfigError(f"base_models.{name}.scores: the data has several tasks; only one works")
    if len(np.unique(dataset.source_rows)) < len(dataset):
        raise ConfigError(
            f"base_models.{name}.scores: negatives were sampled for this data, so that several of "
            "its rows are one row of the file; bring the negatives in the file"
        )
    columns = []
    for settings in files.values():
        read = {
            path: read_scores(dataset, settings, path)
            for path in dict.fromkeys(scores_file(settings, window) for window in WINDOWS)
        }
        columns += [read[scores_file(settings, window)] for window in WINDOWS]
    return replace(dataset, scores=np.stack(columns, axis=1))


def read_scores(dataset: EncodedDataset, settings: ScoresConfig, path: Path) -> NDArray[np.float32]:
    """Logits ``[N]`` in the order of the data set.

    Raises:
        DataError: the file cannot be read, or a column is missing; a row is missing or there twice;
            a score is no number or no probability; or a row is of another user.
    """
    table = _read(path)
    for column in ("row", settings.column):
        if column not in table:
            raise DataError(path, f"no column '{column}'; {nearest(column, map(str, table))}")
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise DataError(path, "holds what is no number; mend it", column=column)
    twice = table["row"][table["row"].duplicated()]
    if len(twice):
        raise DataError(path, f"row {twice.iloc[0]} is there twice; keep one", column="row")
    found = table.set_index("row").reindex(dataset.source_rows)
    scores = found[settings.column].to_numpy(dtype=np.float64)
    missing = np.flatnonzero(~np.isfinite(scores))
    if len(missing):
        at = missing[0]
        user = dataset.user_names[dataset.users[at]]
        raise DataError(
            path,
            f"{len(missing):,} of {len(scores):,} rows have no finite score, the first one is row "
            f"{dataset.source_rows[at]} of user {user}; score every interaction of the raw file",
            column=settings.column,
        )
    if "user" in found:
        names = np.asarray(dataset.user_names, dtype=object)[dataset.users]
        wrong = np.flatnonzero(found["user"].astype(str).to_numpy() != names)
        if len(wrong):
            raise DataError(
                path,
                f"row {dataset.source_rows[wrong[0]]} is of user {names[wrong[0]]} in the data; "
                "rows count from 0, in the order of the raw file",
                column="user",
            )
    if settings.kind == "logit":
        return scores.astype(np.float32)
    if scores.min() < 0 or scores.max() > 1:
        raise DataError(
            path,
            f"holds scores from {scores.min():g} to {scores.max():g}, which are no probabilities; "
            "set scores.kind to logit if that is what they are",
            column=settings.column,
        )
    p = scores.clip(_FLOOR, 1 - _FLOOR)
    return np.log(p / (1 - p)).astype(np.float32)


def scores_digest(settings: ScoresConfig) -> str:
    """SHA-256 of the files; raises :class:`DataError` where one cannot be read."""
    digest = hashlib.sha256()
    for path in dict.fromkeys(scores_file(settings, window) for window in WINDOWS):
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise DataError(path, f"cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def _read(path: Path) -> pd.DataFrame:
    text = {"user": "str"}
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if ".tsv" in path.suffixes else ",", dtype=text)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(path, f"cannot be read ({' '.join(str(error).split())})") from error

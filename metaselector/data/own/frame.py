"""A data frame of one's own as a log with a schema, which is what preparation reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from metaselector.data.own.log_schema import NAME, load_schema
from metaselector.errors import ConfigError
from metaselector.files import write_text

_FILE = "{}.parquet"


def write_log(
    frame: pd.DataFrame,
    columns: Mapping[str, Any],
    directory: Path,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
) -> Path:
    """Write `frame` to Parquet files with a schema in `directory`; returns the schema's path.

    Args:
        columns: as a schema in YAML, without version and files: ``user``, ``item``, ``time`` (a
            column or ``{"column": ..., "unit": ...}``), ``labels``, ``features`` and so on.
            ``label: column`` is short for one label of 0 and 1, or, with ``threshold`` beside it,
            of numbers; a list of features, also of ``users`` and ``items``, for numeric ones where
            the column holds floating-point numbers, categorical ones elsewhere.
        users, items: what is known of them, described by the entries of the same names, each with
            ``key`` and ``features``.

    Raises:
        ConfigError: the description is wrong.
    """
    described: dict[str, Any] = {"version": 1, "name": "frame", **columns}
    described["interactions"] = _FILE.format("interactions")
    time = described.get("time")
    if isinstance(time, str):
        described["time"] = {"column": time}
    if "label" in described:
        described["labels"] = _labels(described.pop("label"), described.pop("threshold", None))
    described["features"] = _features(described.get("features"), frame)
    for role, side in {"users": users, "items": items}.items():
        given = described.get(role)
        if (side is None) != (given is None):
            missing = f"the data frame {role}=" if side is None else f"the entry '{role}'"
            raise ConfigError(f"columns: {role} need {missing} too, or neither")
        if side is not None and isinstance(given, Mapping):
            described[role] = {
                **given,
                "file": _FILE.format(role),
                "features": _features(given.get("features"), side),
            }
    path = directory / "frame.yaml"
    write_text(path, yaml.safe_dump(_plain(described), sort_keys=False))
    load_schema(path)
    for role, each in {"interactions": frame, "users": users, "items": items}.items():
        if each is not None:
            each.to_parquet(directory / _FILE.format(role), index=False)
    return path


def _labels(column: str, threshold: float | None) -> dict[str, Any]:
    name = column if NAME.fullmatch(str(column)) else "label"
    return {name: {"column": column, **({} if threshold is None else {"threshold": threshold})}}


def _features(given: Any, frame: pd.DataFrame) -> Any:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    return {
        name: {"kind": "numeric" if _is_float(frame, name) else "categorical"} for name in given
    }


def _is_float(frame: pd.DataFrame, name: str) -> bool:
    return name in frame.columns and pd.api.types.is_float_dtype(frame[name])


def _plain(value: Any) -> Any:
    """Tuples and mappings of any kind as YAML has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value

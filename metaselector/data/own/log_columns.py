"""Convert raw columns of a user's log to interactions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import ConfigError
from metaselector.data.interactions import Feature, Interactions
from metaselector.data.own.list_rows import list_numbers
from metaselector.data.own.list_schema import POSITION
from metaselector.data.own.log_schema import Label, LogSchema
from metaselector.data.raw.columns import (
    Raw,
    RawBlock,
    checked,
    flags,
    keys,
    missing_entries,
    numbers,
    observed,
    places,
    refuse,
    words,
)
from metaselector.data.raw.times import microseconds


class Noticed:
    """Observations about features, collected while a file is read.

    Attributes:
        present: features with a value in some row.
    """

    def __init__(self) -> None:
        self.present: set[str] = set()
        self._lost: dict[str, tuple[int, str]] = {}

    def lost(self, feature: str, block: RawBlock, missing: NDArray[np.int64]) -> None:
        """Count missing list entries, of which each row has `missing`, int64 ``[n]``."""
        if missing.any():
            line = f"{block.path.name}:{block.lines[int((missing > 0).argmax())]}"
            before, first = self._lost.get(feature, (0, line))
            self._lost[feature] = before + int(missing.sum()), first

    def sentences(self, path: Path, columns: Mapping[str, str]) -> Iterator[str]:
        """Yield notes about the file, given the column of each feature."""
        for name, column in columns.items():
            if name not in self.present:
                yield (
                    f"{path}: column '{column}' is empty in all rows, so the field has only its "
                    "unseen word"
                )
            if name in self._lost:
                count, first = self._lost[name]
                entries = "1 missing entry" if count == 1 else f"{count:,} missing entries"
                yield f"{path}: column '{column}': dropped {entries} of lists (first in {first})"


def raw_kind(feature: Feature) -> Raw:
    """How the column of a feature is parsed."""
    return "number" if feature.kind == "numeric" else "word"


def raw_kinds(path: Path, schema: LogSchema) -> dict[str, Raw]:
    """How each column named in the schema at `path` is parsed.

    Raises:
        ConfigError: a column would be parsed in two ways.
    """
    kinds: dict[str, Raw] = {schema.user: "word", schema.item: "word"}
    kinds[schema.time.column] = "text" if schema.time.unit == "iso" else "number"
    if schema.row:
        kinds[schema.row] = "number"
    wanted: list[tuple[str, str, Raw]] = [
        (f"labels.{name}", label.column, "word" if label.threshold is None else "number")
        for name, label in (schema.labels or {}).items()
    ]
    exploded = schema.list.explode if schema.list else ()
    wanted += [
        (f"features.{feature.name}", schema.columns[feature.name], raw_kind(feature))
        for feature in schema.as_features()
        if schema.columns[feature.name] != POSITION
    ]
    wanted = [one for one in wanted if one[1] not in exploded]  # lists of words or numbers
    wanted += [(f"list.explode.{name}", name, "word") for name in exploded]
    others = {
        **(schema.list.columns if schema.list else {}),
        **{f"where.{c}": c for c in schema.where},
    }
    wanted += [(role, column, "word") for role, column in others.items()]
    for role, column, kind in wanted:
        if kinds.setdefault(column, kind) != kind:
            problem = f"column '{column}' is used both as numbers and as words"
            raise ConfigError(f"{path}: {role}: {problem}; copy it under a second name")
    return kinds


def interactions(schema: LogSchema, block: RawBlock, noticed: Noticed) -> Interactions:
    """Check and convert a block of rows.

    Raises:
        DataError: a value is wrong; the message states the file, line and column.
    """
    unit = schema.time.unit
    return Interactions(
        user=checked(block, schema.user, keys),
        item=checked(block, schema.item, keys),
        labels=_labels(schema, block),
        timestamps=checked(block, schema.time.column, lambda column: microseconds(column, unit)),
        lines=block.lines,
        features={
            feature.name: converted(block, schema.columns[feature.name], feature, noticed)
            for feature in schema.as_features()
        },
        lists=list_numbers(schema, block),
        rows=checked(block, schema.row, places) if schema.row else None,
    )


def converted(block: RawBlock, column: str, feature: Feature, noticed: Noticed) -> pa.Array:
    """Convert to words (dictionary-encoded; missing: null or empty) or float64 (missing: nan)."""
    present = noticed.present
    if feature.kind == "numeric":
        values = checked(block, column, numbers)
        if feature.name not in present and not np.isnan(values).all():
            present.add(feature.name)
        return pa.array(values)
    found = checked(block, column, lambda array: words(array, feature.separator))
    noticed.lost(feature.name, block, checked(block, column, missing_entries))
    if feature.name not in present and any(text for text in found.unique().to_pylist()):
        present.add(feature.name)
    return found


def _labels(schema: LogSchema, block: RawBlock) -> NDArray[np.float64]:
    """Read labels, float64 ``[n, T]``; ones if the log has only positives."""
    labels = schema.all_labels
    if not labels:
        return np.ones((len(block.lines), 1))
    # Copy, because some are changed below and Arrow's memory is read-only.
    columns = {name: np.array(_label(label, block)) for name, label in labels.items()}
    first, label = next(iter(labels.items()))
    checked(block, label.column, lambda _: observed(columns[first]))
    for name, label in labels.items():
        if label.after is not None:
            _follow(block, label, columns[name], labels[label.after], columns[label.after])
    return np.column_stack(list(columns.values()))


def _follow(
    block: RawBlock,
    label: Label,
    values: NDArray[np.float64],
    earlier: Label,
    earlier_values: NDArray[np.float64],
) -> None:
    """Set `values` to nan where the earlier label is not positive; raise for positives there.

    For example, a log of purchases after clicks has 0 for items that were not clicked, although
    those users never had the choice.
    """
    outside = ~(earlier_values >= earlier.least)
    problem = (
        f"is positive, but column '{earlier.column}', which must be positive first, is not; "
        "correct one, or remove `after` from the label"
    )
    checked(
        block, label.column, lambda _: refuse(outside & (values >= label.least), lambda _: problem)
    )
    values[outside] = np.nan


def _label(label: Label, block: RawBlock) -> NDArray[np.float64]:
    return checked(block, label.column, flags if label.threshold is None else numbers)

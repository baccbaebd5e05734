"""Raw rows of a data frame, checked and made what the interaction table yields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.interactions import Feature, Interactions
from metaselector.data.own.log_columns import Noticed, converted
from metaselector.data.preparation.known import Known
from metaselector.data.raw.columns import (
    BadValue,
    RawBlock,
    checked,
    flags,
    keys,
    numbers,
    observed,
)
from metaselector.data.raw.times import microseconds
from metaselector.errors import DataError, nearest


@dataclass(frozen=True)
class Given:
    """Some rows that a user brings.

    Attributes:
        frame: columns as the data's own files call them; the values may be text.
        source: what messages call it: ``history``, or a file.
        first_line: what they call its first row.
    """

    frame: pd.DataFrame
    source: Path
    first_line: int = 1

    def require(self, known: Known, *, labelled: bool) -> None:
        """Raise :class:`DataError` unless it has all columns that rows are made of."""
        rows = known.rows
        ids = () if rows.tabular else ("item", "timestamp")
        label = (rows.tasks[0].name,) if labelled else ()
        for name in ("user", *ids, *label, *(feature.name for feature in rows.features)):
            column = rows.column(name)
            if column not in self.frame.columns:
                problem = "there is no such column"
                if rows.sampled and name in label:
                    problem += "; the log that was learned from has positives only, so say here "
                    problem += "which rows are (1) and which are not (0)"
                else:
                    problem += f"; {nearest(column, map(str, self.frame.columns))}"
                raise DataError(self.source, problem, column=column)

    def column(self, name: str) -> pa.Array:
        """A column as it is.

        Raises:
            DataError: it mixes types.
        """
        try:
            array = pa.Array.from_pandas(self.frame[name])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            problem = f"values of more than one type ({error}); make them all text or all numbers"
            raise DataError(self.source, problem, column=name) from error
        return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array

    def block(self) -> RawBlock:
        """All of it."""
        lines = np.arange(self.first_line, self.first_line + len(self.frame))
        columns = {str(name): self.column(name) for name in self.frame.columns}
        return RawBlock(self.source, lines, columns)


def interactions_of(known: Known, given: Given, *, labelled: bool) -> Interactions:
    """The rows of `given`.

    Args:
        labelled: they have labels; otherwise all are taken for negatives, whatever they say.

    Raises:
        DataError: a column is missing or a value wrong; the message names row and column.
    """
    given.require(known, labelled=labelled)
    rows, block = known.rows, given.block()
    n = len(block.lines)
    item: pa.Array = pa.nulls(n, pa.string())
    times = np.zeros(n, dtype=np.int64)
    if not rows.tabular:
        item = checked(block, rows.column("item"), keys)
        times = checked(block, rows.column("timestamp"), lambda found: _times(known, found))
    labels = np.full((n, len(rows.tasks)), np.nan)
    if labelled:
        labels = _labels(known, block)
    else:
        labels[:, 0] = -np.inf
    return Interactions(
        user=checked(block, rows.column("user"), keys),
        item=item,
        labels=labels,
        timestamps=times,
        lines=block.lines,
        features={
            feature.name: converted(block, rows.column(feature.name), feature, Noticed())
            for feature in rows.features
        },
    )


def _times(known: Known, column: pa.Array) -> NDArray[np.int64]:
    unit = known.rows.time_unit
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return microseconds(column, "iso" if unit is None and is_text else unit)


def _labels(known: Known, block: RawBlock) -> NDArray[np.float64]:
    """``[n, T]``; of tasks after the first one, those that are not there are not observed."""
    tasks, default = known.rows.tasks, known.schema.label_threshold
    found: dict[str, NDArray[np.float64]] = {}
    positive: dict[str, NDArray[np.bool_]] = {}
    for task in tasks:
        column = known.rows.column(task.name)
        least = default if task.threshold is None else task.threshold
        if column not in block.columns:
            values = np.full(len(block.lines), np.nan)
        else:
            values = checked(block, column, partial(_label, least=least))
        positive[task.name] = values >= least
        if task.after is not None:  # a negative of one who was never asked is no answer
            values = np.where(positive[task.after] | positive[task.name], values, np.nan)
        found[task.name] = values
        if task is tasks[0]:
            checked(block, column, lambda _: observed(found[tasks[0].name]))
    return np.column_stack(list(found.values()))


def _label(column: pa.Array, least: float) -> NDArray[np.float64]:
    """Numbers; a label of 0 and 1 may say false and true."""
    try:
        return flags(column) if least == 1 else numbers(column)
    except BadValue:
        return numbers(column)


def described(
    known: pd.DataFrame,
    features: tuple[Feature, ...],
    names: Iterable[str],
    column: str,
    given: Iterable[Given],
    columns: Any,
) -> pd.DataFrame:
    """What is known of users or items.

    Of those that are new, it is what the first of their rows says, where `given` has such columns.

    Args:
        known: of the data set, indexed by the string.
        names: who occurs; the rows of what is returned, in this order.
        column: of their names in `given`.
        columns: what `given` calls a feature.
    """
    names = list(names)
    found = known.reindex(names)
    new = {name: place for place, name in enumerate(names) if name not in known.index}
    for part in given if new and features else ():
        block = part.block()
        if column not in block.columns:
            continue
        who = checked(block, column, keys).dictionary_decode().to_pylist()
        first = {name: row for row, name in reversed(list(enumerate(who))) if name in new}
        for feature in features:
            if columns(feature.name) not in block.columns:
                continue
            values = converted(block, columns(feature.name), feature, Noticed()).to_pylist()
            cells = found[feature.name].tolist()
            for name, row in first.items():
                cells[new[name]] = _cell(values[row], feature)
            kind = {"numeric": "float64", "categorical": "str"}.get(feature.kind, "object")
            found[feature.name] = pd.Series(cells, index=found.index, dtype=kind)
        new = {name: place for name, place in new.items() if name not in first}
    return found


def _cell(value: Any, feature: Feature) -> Any:
    if feature.kind == "multivalued":
        return tuple(filter(None, (value or "").split(feature.separator)))
    return value

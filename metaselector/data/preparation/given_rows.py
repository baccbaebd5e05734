"""Raw rows given by a user, checked and converted to interactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import DataError, nearest
from metaselector.data.interactions import Feature, Interactions, Ints
from metaselector.data.own.log_columns import Noticed, converted
from metaselector.data.preparation.codes import occurring
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_labels import labels_of
from metaselector.data.raw.columns import RawBlock, checked, keys
from metaselector.data.raw.frames import frame_columns, frame_names
from metaselector.data.raw.times import microseconds


@dataclass(frozen=True)
class RawRows:
    """Raw rows from a data frame or a file.

    Attributes:
        source: name for messages: ``history``, or the file.
        names: column names, as in the files of the data set.
        blocks: the rows, with at least the required columns; values may be text.
        numbers: int64 ``[n]``, which rows of a larger log these are, if they are a part of one.
    """

    source: Path
    names: tuple[str, ...]
    blocks: Sequence[RawBlock]
    numbers: Ints | None = None

    @classmethod
    def of_frame(cls, encoder: FittedEncoder, frame: pd.DataFrame, source: Path) -> Self:
        """Take the rows of a data frame; messages count them from 1.

        Raises:
            DataError: a required column occurs twice or mixes types.
        """
        columns = frame_columns(frame, source, encoder.rows.column_names)
        lines = np.arange(1, len(frame) + 1)
        blocks = (RawBlock(source, lines, columns),) if len(frame) else ()
        return cls(source, tuple(frame_names(frame)), blocks)

    def __len__(self) -> int:
        return sum(len(block.lines) for block in self.blocks)

    def select(self, chosen: NDArray[np.bool_]) -> Self:
        """The rows marked in `chosen` ``[n]``."""
        ends = np.cumsum([len(block.lines) for block in self.blocks])
        marks = np.split(chosen, ends[:-1]) if self.blocks else []
        blocks = tuple(
            block._replace(
                lines=block.lines[mark],
                columns={n: c.filter(pa.array(mark)) for n, c in block.columns.items()},
            )
            for block, mark in zip(self.blocks, marks, strict=True)
            if mark.any()
        )
        numbers = None if self.numbers is None else self.numbers[chosen]
        return replace(self, blocks=blocks, numbers=numbers)

    def without_rows(self) -> Self:
        """The same columns without rows."""
        return replace(self, blocks=(), numbers=None)

    def with_user(self, column: str, user: str) -> Self:
        """Assign all rows to one user, in the new column `column`."""
        blocks = tuple(
            block._replace(columns={**block.columns, column: pa.array([user] * len(block.lines))})
            for block in self.blocks
        )
        return replace(self, names=(*self.names, column), blocks=blocks)

    def require(self, encoder: FittedEncoder, *, labelled: bool) -> None:
        """Raise :class:`DataError` unless all required columns are present.

        Features that are unknown at prediction are not required.
        """
        rows = encoder.rows
        ids = () if rows.tabular else ("item", "timestamp")
        label = (rows.tasks[0].name,) if labelled else ()
        known = [one.name for one in rows.features if not one.unknown_at_prediction]
        for name in ("user", *ids, *label, *known):
            column = rows.column(name)
            if column not in self.names:
                problem = "there is no such column"
                if rows.sampled and name in label:
                    problem += "; the training log has only positives, so add a column that marks "
                    problem += "positives with 1 and negatives with 0"
                else:
                    problem += f"; {nearest(column, self.names)}"
                raise DataError(self.source, problem, column=column)


def interactions_of(
    encoder: FittedEncoder, given: RawRows, *, labelled: bool
) -> Iterator[Interactions]:
    """Convert the rows of `given`, block by block.

    Args:
        encoder: encoder of the model's data set.
        given: the rows.
        labelled: whether to read labels; otherwise all rows count as negatives.

    Raises:
        DataError: a column is missing or a value is wrong; the message states row and column.
    """
    given.require(encoder, labelled=labelled)
    return (_interactions(encoder, block, labelled) for block in given.blocks)


def _interactions(encoder: FittedEncoder, block: RawBlock, labelled: bool) -> Interactions:
    rows, n = encoder.rows, len(block.lines)
    item: pa.Array = pa.nulls(n, pa.string())
    times = np.zeros(n, dtype=np.int64)
    if not rows.tabular:
        item = checked(block, rows.column("item"), keys)
        times = checked(block, rows.column("timestamp"), lambda found: _times(encoder, found))
    labels = np.full((n, len(rows.tasks)), np.nan)
    if labelled:
        labels = labels_of(encoder, block)
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
            if rows.column(feature.name) in block.columns
            else pa.nulls(n, pa.string())
            for feature in rows.features
        },
    )


def _times(encoder: FittedEncoder, column: pa.Array) -> NDArray[np.int64]:
    unit = encoder.rows.time_unit
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return microseconds(column, "iso" if unit is None and is_text else unit)


def described(
    known: pd.DataFrame,
    features: tuple[Feature, ...],
    names: Iterable[str],
    column: str,
    given: Iterable[RawRows],
    columns: Any,
) -> pd.DataFrame:
    """Features of the users or items called `names`.

    Features of new ones come from their first row in a part of `given` that has the column.

    Args:
        known: features from the data set, indexed by name.
        features: the columns of `known`.
        names: the users or items that occur, in the order of the returned rows.
        column: the column of their names in `given`.
        given: the rows.
        columns: maps a feature's name to its column in `given`.
    """
    names = list(names)
    found = known.reindex(names)
    new = {name: place for place, name in enumerate(names) if name not in known.index}
    for feature in features if new else ():
        cells, missing = found[feature.name].tolist(), set(new)
        for block in (block for part in given for block in part.blocks):
            if missing and {column, columns(feature.name)} <= block.columns.keys():
                entries, rows = occurring(checked(block, column, keys))
                values = converted(block, columns(feature.name), feature, Noticed())
                _, first = np.unique(rows, return_index=True)  # of each entry, in their order
                for name, row in zip(entries.to_pylist(), first.tolist(), strict=True):
                    if name in missing:
                        cells[new[name]] = _cell(values[row].as_py(), feature)
                        missing.remove(name)
        kind = {"numeric": "float64", "categorical": "str"}.get(feature.kind, "object")
        found[feature.name] = pd.Series(cells, index=found.index, dtype=kind)
    return found


def _cell(value: Any, feature: Feature) -> Any:
    if feature.kind == "multivalued":
        return tuple(filter(None, (value or "").split(feature.separator)))
    return value

"""Check raw rows given by a user, and convert them to interactions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.interactions import Feature, Interactions
from metaselector.data.own.log_columns import Noticed, converted
from metaselector.data.preparation.codes import occurring
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_labels import labels_of
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import RawBlock, checked, keys
from metaselector.data.raw.times import microseconds


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

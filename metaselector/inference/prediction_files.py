"""Predict rows in files, and write the predictions."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from metaselector.common.errors import UserError
from metaselector.common.files import atomic_file
from metaselector.data.preparation.given_file import given_file
from metaselector.data.preparation.given_labels import warn_labels
from metaselector.data.preparation.given_rows import RawRows
from metaselector.data.preparation.unknown import find_unknown
from metaselector.inference.adapted_users import AdaptedUsers, prediction_columns
from metaselector.inference.popular import popular_items
from metaselector.inference.trained import TrainedModel

_SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
_ROWS = 2**16
"""Rows per write."""
_INTEGERS = {
    **{type_: pd.Int64Dtype() for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{type_: pd.UInt64Dtype() for type_ in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
}
"""Nullable types, in which a missing value does not turn integers into floats."""


def predicted_table(
    trained: TrainedModel,
    history: Path,
    candidates: Path | None,
    *,
    items: int = 10,
    allow_unknown: bool = False,
) -> pa.Table:
    """Predict the rows of `candidates`, adapted to each user's `history`.

    Args:
        candidates: None: those of :func:`~metaselector.inference.popular.popular_items`, each
            user's most probable first.
        items: how many of these per user.
        allow_unknown: as for :class:`~metaselector.inference.adapted_user.AdaptedUser`.

    Returns:
        the columns of `candidates` (as text if the file is text), then ``probability`` and
        ``weight_<base model>``; with several tasks ``probability_<task>`` and
        ``weight_<base model>_<task>``. Without candidates there are no rows.

    Raises:
        DataError: a file cannot be read, has a wrong column or value, or only unknown items.

    Warns:
        UnknownWarning: users, items or words are unknown to the model, or the history has only
            rows of other users.
        LabelWarning: a label of the history holds 0 and 1 where ratings are expected.
    """
    past = given_file(trained.encoder, history, labelled=True)
    if candidates is None:
        asked = popular_items(trained.encoder, past, items)
    else:
        asked = given_file(trained.encoder, candidates, labelled=False, every_column=True)
    users = AdaptedUsers.of_rows(trained, past, allow_unknown=allow_unknown)
    strangers = find_unknown(trained.encoder, past, allow=allow_unknown)
    made = prediction_columns(trained, users.predict_rows(asked, strangers))
    warn_labels(trained.encoder, history, past.blocks)
    table = _table(asked).drop_columns([name for name in asked.names if name in made])
    for name, values in made.items():
        table = table.append_column(name, pa.array(values))
    return table if candidates is not None else _best_first(trained, table, next(iter(made)))


def _best_first(trained: TrainedModel, table: pa.Table, probability: str) -> pa.Table:
    """The rows of each user by falling probability, users as they are."""
    users = pd.factorize(np.array(table[trained.encoder.rows.column("user")].to_pylist()))[0]
    return table.take(pa.array(np.lexsort((-table[probability].to_numpy(), users))))


def _table(given: RawRows) -> pa.Table:
    if not given.blocks:
        return pa.table({name: pa.array([], pa.string()) for name in given.names})
    return pa.Table.from_batches([pa.record_batch(block.columns) for block in given.blocks])


def check_name(path: Path) -> None:
    """Raise :class:`UserError` unless the suffix names a table format."""
    if path.suffix.lower() not in (*_SEPARATORS, ".parquet"):
        raise UserError(f"{path}: choose a name that ends in .csv, .tsv or .parquet")


def write_rows(table: pa.Table, path: Path) -> None:
    """Write a table in the format of the file's suffix, atomically."""
    check_name(path)
    with atomic_file(path) as temporary:
        if path.suffix.lower() != ".parquet":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.writelines(as_text(table, _SEPARATORS[path.suffix.lower()]))
            return
        # Words, whatever their encoding, are text in the file.
        types = [
            f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in table.schema
        ]
        schema = pa.schema(list(zip(table.column_names, types, strict=True)))
        with parquet.ParquetWriter(temporary, schema) as writer:
            for start in range(0, len(table), _ROWS):
                writer.write_table(table.slice(start, _ROWS).cast(schema))


def as_text(table: pa.Table, separator: str = ",") -> Iterator[str]:
    """A table as CSV, in chunks, the header first."""
    for start in range(0, max(len(table), 1), _ROWS):
        part = table.slice(start, _ROWS)
        for place, field in enumerate(part.schema):
            if pa.types.is_timestamp(field.type):  # pandas leaves midnights out
                part = part.set_column(place, field.name, part[place].cast(pa.string()))
        write = partial(
            part.to_pandas(types_mapper=_INTEGERS.get).to_csv,
            index=False,
            header=not start,
            sep=separator,
        )
        text = write()
        # A lone carriage return ends a line for many readers, and is not quoted by itself.
        yield write(quoting=csv.QUOTE_NONNUMERIC) if "\r" in text else text

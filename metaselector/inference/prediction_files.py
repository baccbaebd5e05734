"""Predict rows in files, and write the predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from metaselector.common.errors import UserError
from metaselector.common.files import atomic_file
from metaselector.inference.prediction_stream import predicted_tables
from metaselector.inference.trained import TrainedModel
from metaselector.report.as_json import records

_SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}
_ROWS = 2**16
"""Rows per write."""
_INTEGERS = {
    **{type_: pd.Int64Dtype() for type_ in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{type_: pd.UInt64Dtype() for type_ in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
}
"""Nullable types, in which a missing value does not turn integers into floats."""


def predicted_table(
    trained: TrainedModel, history: Path, candidates: Path | None, **options: Any
) -> pa.Table:
    """The whole table of :func:`predicted_tables`, whose arguments and errors these are."""
    with predicted_tables(trained, history, candidates, **options) as tables:
        return pa.concat_tables(tables)


def check_name(path: Path) -> None:
    """Raise :class:`UserError` unless the suffix names a table format."""
    if path.suffix.lower() not in (*_SEPARATORS, ".parquet"):
        raise UserError(f"{path}: choose a name that ends in .csv, .tsv or .parquet")


def write_rows(tables: pa.Table | Iterable[pa.Table], path: Path) -> None:
    """Write a table, or its parts, in the format of the file's suffix, atomically."""
    check_name(path)
    with atomic_file(path) as temporary:
        if path.suffix.lower() != ".parquet":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                file.writelines(as_text(tables, _SEPARATORS[path.suffix.lower()]))
            return
        with ExitStack() as opened:
            writer = None
            for table in _cut(tables):
                if writer is None:
                    schema = _plain(table.schema)
                    writer = opened.enter_context(parquet.ParquetWriter(temporary, schema))
                if len(table):
                    writer.write_table(table.cast(writer.schema))


def _plain(schema: pa.Schema) -> pa.Schema:
    """Words, whatever their encoding, are text in the file."""
    types = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in schema]
    return pa.schema(list(zip(schema.names, types, strict=True)))


def _cut(tables: pa.Table | Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of :data:`_ROWS` rows, the last one fewer; at least one table."""
    waiting = None
    for table in [tables] if isinstance(tables, pa.Table) else tables:
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while len(waiting) > _ROWS:
            yield waiting.slice(0, _ROWS)
            waiting = waiting.slice(_ROWS)
    if waiting is not None:
        yield waiting


def as_text(tables: pa.Table | Iterable[pa.Table], separator: str = ",") -> Iterator[str]:
    """A table, or its parts, as CSV, in chunks, the header first."""
    for number, part in enumerate(_cut(tables)):
        frame: Any = _frame(part)
        write = partial(frame.to_csv, index=False, header=not number, sep=separator)
        text = write()
        # A lone carriage return ends a line for many readers, and is not quoted by itself.
        yield write(quoting=csv.QUOTE_NONNUMERIC) if "\r" in text else text


def as_json_text(tables: pa.Table | Iterable[pa.Table]) -> Iterator[str]:
    """A table, or its parts, as JSON in chunks: ``{"predictions": [...]}``, one line a row.

    Missing and infinite numbers become null, and values that JSON lacks, such as dates, text.
    """
    yield '{"predictions": ['
    before = "\n"
    for part in _cut(tables):
        frame = _frame(part)
        for name in frame.select_dtypes(np.float32).columns:
            frame[name] = frame[name].astype(str).astype(float)  # with the digits of CSV
        for row in records(frame):
            yield before + json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)
            before = ",\n"
    yield "\n]}\n"


def _frame(table: pa.Table) -> pd.DataFrame:
    """The table as a frame in which integers stay integers and times are text."""
    for place, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):  # pandas leaves midnights out
            table = table.set_column(place, field.name, table[place].cast(pa.string()))
    return table.to_pandas(types_mapper=_INTEGERS.get)

"""Features of rows as a plain table, for models that do not read slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID, Field, Schema
from metaselector.data.interactions import Floats

MOST_WORDS = 64
"""Multi-valued fields with at most this many words get one column per word."""
_AT_ONCE = 65_536
"""Rows per chunk, to limit memory."""


class RowFeatures(NamedTuple):
    """Features by row and column.

    Attributes:
        values: ``[M, G]``, nan where a number is missing; float32, which halves the memory, unless
            an id needs float64.
        categorical: indices of the categorical columns.
    """

    values: NDArray[np.floating]
    categorical: tuple[int, ...]


def row_features(
    dataset: EncodedDataset, rows: NDArray[np.int64], history_limits: NDArray[np.int64] | None
) -> RowFeatures:
    """Features that base models see, as columns in order of the fields.

    * categorical: one column of categories, 0 for words that are absent from *train*;
    * numeric: the standardised number, nan where it is missing;
    * profile: the share of each word;
    * multi-valued: 0 or 1 for each word, or the number of words if there are more than
      :data:`MOST_WORDS`;
    * sequence: its length, as far as base models see it, but not its items.

    Args:
        rows: int64 ``[M]``, positions in the data set.
        history_limits: int64 ``[M]`` or None, as :meth:`EncodedDataset.batch` takes it.
    """
    # Numbers are float32 in the data, and so are exact; whole numbers are up to 2^24.
    exact = np.float32 if dataset.schema.num_ids < 2**24 else np.float64
    parts = []
    for start in range(0, max(len(rows), 1), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        limits = None if history_limits is None else history_limits[some]
        ids, values = (slots.numpy() for slots in dataset.batch(rows[some], limits))
        parts.append(_columns(dataset.schema, ids, values).astype(exact))
    return RowFeatures(np.concatenate(parts), _categorical(dataset.schema))


def row_table(dataset: EncodedDataset, rows: NDArray[np.int64]) -> tuple[pd.DataFrame, list[str]]:
    """:func:`row_features` as a table of int64 (categories) and float64 ``[M, G]``.

    Columns are named after their field; several columns of a field are ``genres_0``, ``genres_1``
    and so on, in order of its words.

    Returns:
        The table, and the names of the categorical columns.
    """
    names: list[str] = []
    for field in dataset.schema.fields:
        width = _width(field)
        several = width > 1 or field.kind == "profile"
        names += [f"{field.name}_{k}" for k in range(width)] if several else [field.name]
    values, categorical = row_features(dataset, rows, None)
    categories = [names[column] for column in categorical]
    table = pd.DataFrame(values.astype(np.float64), columns=pd.Index(names))
    return table.astype(dict.fromkeys(categories, "int64")), categories


def _columns(schema: Schema, ids: NDArray[np.int64], values: NDArray[np.float32]) -> Floats:
    """Convert slots ``[M, C]`` to columns ``[M, G]``."""
    columns, first = [np.zeros((len(ids), 0))], 0
    for field in schema.fields:
        slots = slice(first, first + field.slots)
        columns.append(_of_field(field, ids[:, slots], values[:, slots]))
        first += field.slots
    return np.hstack(columns)


def _of_field(field: Field, ids: NDArray[np.int64], values: NDArray[np.float32]) -> Floats:
    """Columns ``[M, _width(field)]`` from the field's slots."""
    if field.kind == "categorical":
        return (ids - field.first_id).astype(np.float64)
    if field.kind == "numeric":  # the id of unseen words stands for a missing number
        return np.where(ids == field.first_id, np.nan, values.astype(np.float64))
    if field.kind == "profile":
        return values.astype(np.float64)
    if _width(field) > 1:
        words = field.first_id + 1 + np.arange(len(field.vocabulary))
        return (ids[:, :, None] == words).any(axis=1).astype(np.float64)  # [M, slots, words]
    return np.count_nonzero(ids != PADDING_ID, axis=1, keepdims=True).astype(np.float64)


def _width(field: Field) -> int:
    if field.kind == "profile":
        return field.slots
    words = len(field.vocabulary)
    return words if field.kind == "multivalued" and 1 < words <= MOST_WORDS else 1


def _categorical(schema: Schema) -> tuple[int, ...]:
    widths = [_width(field) for field in schema.fields]
    first = np.cumsum([0, *widths])
    return tuple(
        int(column)
        for column, field in zip(first, schema.fields, strict=False)
        if field.kind == "categorical"
    )

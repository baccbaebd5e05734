"""Fields of the rows themselves: features of interactions and parts of their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from metaselector.data.encoded.schema import Field
from metaselector.data.interactions import InteractionTable
from metaselector.data.microseconds import TimePart, time_codes, words_of
from metaselector.data.preparation.fields import Cells, Fields
from metaselector.data.preparation.numbers import number_cells
from metaselector.data.preparation.staging import Staged
from metaselector.data.preparation.staging_types import StagedRows
from metaselector.data.preparation.statistics import Statistics

RowColumn = Callable[[StagedRows], Cells]
"""Computes cells ``[n]`` or ``[n, slots]`` from records."""


def row_columns_of(
    fields: Fields, table: InteractionTable, staged: Staged, statistics: Statistics
) -> tuple[RowColumn, ...]:
    """Create the fields of the features of `table`, then of its time parts; return the columns."""
    columns: list[RowColumn] = []
    word_columns = iter(enumerate(zip(staged.words, statistics.words, strict=True)))
    number_columns = iter(enumerate(statistics.numbers))
    for feature in table.features:
        if feature.kind == "numeric":
            column, numbers = next(number_columns)
            columns.append(
                _numbers(fields.numeric(feature.name, "row", numbers, feature.buckets), column)
            )
            continue
        column, (entries, counts) = next(word_columns)
        if feature.kind == "multivalued":
            lists = [tuple(filter(None, entry.split(feature.separator))) for entry in entries]
            cells = fields.multivalued(feature.name, "row", lists, counts, feature.min_count)
        else:
            cells = fields.categorical(feature.name, "row", entries, counts, feature.min_count)
        columns.append(_words(cells, column))
    for part, counts in zip(table.time_parts, statistics.time_parts, strict=True):
        cells = fields.categorical(part, "row", words_of(part), counts)
        columns.append(_time_part(cells, part))
    return tuple(columns)


def _words(cells: Cells, column: int) -> RowColumn:
    return lambda records: cells[records["words"][:, column]]  # code -1 takes the last


def _time_part(cells: Cells, part: TimePart) -> RowColumn:
    return lambda records: cells[time_codes(records["time"], part)]


def _numbers(field: Field, column: int) -> RowColumn:
    return lambda records: number_cells(field, records["numbers"][:, column])


def beside(columns: Sequence[Cells], rows: int = 0) -> Cells:
    """Concatenate cells ``[n]`` and ``[n, slots]`` into one array ``[n, C]``."""
    wide = [column if column.ndim == 2 else column[:, None] for column in columns]
    return np.concatenate(wide, axis=1) if wide else np.zeros((rows, 0), dtype=np.int32)

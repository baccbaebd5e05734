"""Profile the columns of an unknown file from its first rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.raw.columns import BadValue, RawBlock, flags, numbers, words
from metaselector.data.raw.file import RawFile
from metaselector.data.raw.lines import read_blocks
from metaselector.data.raw.lists import is_listed
from metaselector.data.raw.times import microseconds
from metaselector.data.raw.values import shown

Look = Literal["flag", "whole", "number", "time", "words", "lists", "other"]
ROWS = 100_000
_SAID = {
    "flag": "0 or 1",
    "whole": "whole numbers",
    "number": "numbers",
    "time": "times",
    "words": "words",
    "lists": "lists of words",
    "other": "of a type that cannot be used",
}
_SEPARATORS = ",\t;|"
TYPES = ("token", "token_seq", "float", "float_seq")
"""Declared types of columns in atomic files."""

_LISTED = 0.2  # share of values with a separator from which a column is considered a list


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """Profile of a column.

    Attributes:
        name: name of the column, with its type in an atomic file.
        look: what all its values could be.
        rows, missing, distinct: number of rows, of empty ones, and of distinct values.
        example: the first value.
        numbers: float64, the distinct numbers, ascending, if the values are numbers.
        separator: separator of lists.
        native: whether the column's type is a time or a float.
    """

    name: str
    look: Look
    rows: int
    missing: int = 0
    distinct: int = 0
    example: str = ""
    numbers: NDArray[np.float64] | None = None
    separator: str = "|"
    native: bool = False

    @property
    def title(self) -> str:
        """The name without a declared type."""
        title, _, type_ = self.name.rpartition(":")
        return title if type_ in TYPES else self.name

    def __str__(self) -> str:
        missing = 100 * self.missing / max(self.rows, 1)
        example = f", such as {shown(self.example)}" if self.distinct else ""
        return f"{_SAID[self.look]}, {self.distinct:,} distinct, {missing:.3g} % missing{example}"


def sniffed(path: Path) -> RawFile:
    """Open a file, folder or pattern with the separator that is most frequent in the header.

    Raises:
        DataError: as :attr:`RawFile.header`.
    """
    file = RawFile(path)
    if file.is_text and not file.is_atomic:
        header = next(read_blocks(file.files[0], 2**16)).lines()[0].decode(errors="replace")
        best = max(_SEPARATORS, key=header.count)
        file = replace(file, separator=best)
    return file


def profiles(file: RawFile, rows: int = ROWS) -> list[ColumnProfile]:
    """Profile each column over the first `rows` rows.

    Raises:
        DataError: the file is missing or malformed, or has no rows.
    """
    first = list(_first(file, rows))
    if not first:
        raise DataError(file.path, "contains only a header and no interactions")
    return [
        _profile(name, pa.chunked_array([block.columns[name] for block in first]))
        for name in file.header
    ]


def _first(file: RawFile, rows: int) -> Iterator[RawBlock]:
    for block in file.blocks(dict.fromkeys(file.header, "text")):
        columns = {name: column.slice(0, rows) for name, column in block.columns.items()}
        yield block._replace(columns=columns)
        rows -= len(block.lines)
        if rows <= 0:
            return


def _profile(name: str, chunks: pa.ChunkedArray) -> ColumnProfile:
    column = chunks.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    rows, type_ = len(column), column.type
    try:
        found = words(column).dictionary_decode()
    except BadValue:
        return ColumnProfile(name, "other", rows)
    present = found.is_valid().to_numpy(zero_copy_only=False)
    present &= np.array([text != "" for text in found.to_pylist()])
    values, texts = column.filter(pa.array(present)), found.filter(pa.array(present))
    distinct = len(texts.unique())
    profile = ColumnProfile(
        name, "words", rows, rows - len(texts), distinct, texts[0].as_py() if distinct else ""
    )
    if not distinct:
        return profile
    if is_listed(type_):
        return replace(profile, look="lists")
    declared = name.rpartition(":")[2]
    if declared == "token_seq":
        return replace(profile, look="lists", separator=" ")
    if declared == "float_seq":
        return replace(profile, look="other")
    if declared == "token":
        return profile
    if pa.types.is_timestamp(type_) or pa.types.is_date(type_):
        return replace(profile, look="time", native=True)
    with suppress(BadValue):
        different = np.unique(numbers(values))
        different = different[~np.isnan(different)]
        profile = replace(profile, numbers=different, native=pa.types.is_floating(type_))
        if np.isin(different, (0, 1)).all():
            return replace(profile, look="flag")
        return replace(profile, look="whole" if (different % 1 == 0).all() else "number")
    with suppress(BadValue):
        flags(texts)
        return replace(profile, look="flag")
    with suppress(BadValue):
        microseconds(texts, "iso")
        return replace(profile, look="time")
    return _lists(profile, texts.to_pylist())


def _lists(profile: ColumnProfile, texts: list[str]) -> ColumnProfile:
    """The profile of words, or of lists if many values contain a separator."""
    for separator in "|;":
        if sum(separator in text for text in texts) >= _LISTED * len(texts):
            return replace(profile, look="lists", separator=separator)
    return profile

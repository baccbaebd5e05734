"""Rows that a user brings in a file, read as files to learn from are."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import RawRows
from metaselector.data.raw.file import RawFile
from metaselector.data.raw.lines import read_blocks
from metaselector.data.raw.values import shown

_COMMON = ",;\t|"
_HEADER_BYTES = 2**16


def given_file(
    encoder: FittedEncoder, path: Path, *, labelled: bool, every_column: bool = False
) -> RawRows:
    """The rows of a file of any format of :class:`RawFile`; values of a text file stay text.

    Its columns are separated by whatever splits its header into the names of the data's columns.

    Args:
        labelled: the rows need labels.
        every_column: read also what rows are not made of.

    Raises:
        DataError: the file is missing, has no proper header, lacks a column, or a line is wrong;
            values are not checked.
    """
    if not path.exists():
        raise DataError(path, "file not found; correct the path")
    wanted = encoder.rows.column_names
    file = RawFile(path)
    if file.is_text and not file.is_atomic:
        file = RawFile(path, _separator(path, file.usual_separator, wanted))
    names = tuple(file.header)
    RawRows(path, names, ()).require(encoder, labelled=labelled)
    read = [name for name in names if every_column or name in wanted]
    return RawRows(path, names, tuple(file.blocks(dict.fromkeys(read, "text"))))


def _separator(path: Path, usual: str, wanted: Collection[str]) -> str:
    """What splits the header into the most of the `wanted` names; of equals the most usual."""
    header = next(read_blocks(path, _HEADER_BYTES)).lines()[0].decode(errors="replace")
    others = (sign for sign in header if " " <= sign <= "~" and not sign.isalnum() and sign != '"')

    def names(separator: str) -> list[str]:
        try:
            return next(csv.reader([header], delimiter=separator))
        except csv.Error:  # reading says what is wrong, if this is the separator
            return []

    def fits(separator: str) -> tuple[int, bool]:
        found = names(separator)
        return len({*found} & {*wanted}), len(found) > 1

    best = max(dict.fromkeys([usual, *_COMMON, *others]), key=fits)
    if len(names(best)) == 1:
        problem = f"the header has one column, {shown(header)}; name all columns in the first line"
        raise DataError(path, f"{problem}, such as {', '.join(map(shown, wanted))}", line=1)
    return best

"""Read given rows from a file, in the same formats as training data."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import RawBlock
from metaselector.data.raw.file import RawFile
from metaselector.data.raw.lines import read_blocks
from metaselector.data.raw.values import shown

_COMMON = ",;\t|"
_HEADER_BYTES = 2**16


def given_file(
    encoder: FittedEncoder,
    path: Path,
    *,
    labelled: bool,
    every_column: bool = False,
    keep: Callable[[Iterable[RawBlock]], Sequence[RawBlock]] = tuple,
) -> RawRows:
    """Read the rows of a file in any format of :class:`RawFile`; values of text files stay text.

    The separator is the one that best splits the header into the data set's column names.

    Args:
        encoder: encoder of the model's data set.
        path: the file, folder or pattern.
        labelled: whether label columns are required.
        every_column: also read columns that are not needed.
        keep: takes the blocks as they are read, and holds them; by default in memory.

    Raises:
        DataError: the file is missing, its header is invalid, it lacks a column, or a line is
            malformed; values are not checked.
    """
    wanted = encoder.rows.column_names
    file = RawFile(path)
    first = file.files[0]
    if file.is_text and not file.is_atomic:
        file = RawFile(path, _separator(first, file.usual_separator, wanted))
    names = tuple(file.header)
    RawRows(path, names, ()).require(encoder, labelled=labelled)
    read = [name for name in names if every_column or name in wanted]
    return RawRows(path, names, keep(file.blocks(dict.fromkeys(read, "text"))))


def _separator(path: Path, usual: str, wanted: Collection[str]) -> str:
    """The separator that yields the most `wanted` names; among equals the most common."""
    header = next(read_blocks(path, _HEADER_BYTES)).lines()[0].decode(errors="replace")
    others = (sign for sign in header if " " <= sign <= "~" and not sign.isalnum() and sign != '"')

    def names(separator: str) -> list[str]:
        try:
            return next(csv.reader([header], delimiter=separator))
        except csv.Error:  # reading reports the error, if this is the separator
            return []

    def fits(separator: str) -> tuple[int, bool]:
        found = names(separator)
        return len({*found} & {*wanted}), len(found) > 1

    best = max(dict.fromkeys([usual, *_COMMON, *others]), key=fits)
    if len(names(best)) == 1:
        problem = f"the header has one column, {shown(header)}; name all columns in the first line"
        raise DataError(path, f"{problem}, such as {', '.join(map(shown, wanted))}", line=1)
    return best

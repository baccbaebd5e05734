"""Read delimited text with a header, quoted or not, block by block.

Blocks go through pyarrow's parser. A block that it rejects goes line by line through a slow parser,
which either accepts it after all or reports the first malformed line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from metaselector.data.ahead import each_ahead
from metaselector.data.raw.columns import WORDS, Raw, RawBlock
from metaselector.data.raw.csv_lines import read_slowly, text_header
from metaselector.data.raw.lines import BYTE_ORDER_MARK, Block, read_blocks

_ARROW = {"word": WORDS, "number": pa.float64(), "text": pa.string()}
_ENDS = (b"\n", b"\r\n")
_THREADS = 2  # blocks parsed at a time
_BLOCK_BYTES = 2**25
"""Larger than elsewhere: rows are longer, and words are looked up once per block."""
_CELLS = 2**22
"""Maximum values of a block, as memory grows with their number, however short they are."""
_SLOW_CELLS = 2**18
"""Maximum values of a block for the slow parser, in which each value is an object."""


def text_blocks(
    path: Path,
    separator: str,
    columns: Mapping[str, Raw],
    size: int = _BLOCK_BYTES,
    quoted: bool = True,
) -> Iterator[RawBlock]:
    """Read some columns of every row; blank lines at the end of the file are ignored.

    Args:
        path: the file, gzipped or not.
        separator: column separator.
        columns: columns to read, and what they are parsed into.
        size: bytes of text read at a time; memory stays within a few times this.
        quoted: whether values may be in double quotes.

    Yields:
        Rows in the order of the file. A column has the requested type, or is strings if the fast
        parser rejected the block.

    Raises:
        DataError: as :func:`text_header`, or a line is blank, has too few or too many values, ends
            within quotes, or is not UTF-8 in one of `columns`.
    """
    names = text_header(path, separator, quoted)

    def parse(block: Block) -> RawBlock:
        found = _fast(block, separator, names, columns, quoted)
        if found is None:
            pieces = [
                read_slowly(path, piece, separator, names, columns, quoted)
                for piece in block.pieces(max(_SLOW_CELLS // len(names), 1))
            ]
            found = {name: pa.concat_arrays([piece[name] for piece in pieces]) for name in columns}
        lines = np.arange(len(next(iter(found.values()))), dtype=np.int64)
        return RawBlock(path, block.first_line + lines, found)

    most = max(_CELLS // len(names), 1)
    blocks = (block.after(1) for block in read_blocks(path, size))
    pieces = (piece for block in blocks if block.data for piece in block.pieces(most))
    yield from each_ahead(parse, pieces, _THREADS)


def _fast(
    block: Block, separator: str, names: list[str], columns: Mapping[str, Raw], quoted: bool
) -> dict[str, pa.Array] | None:
    """Parse the columns with pyarrow; None if anything is unusual."""
    if block.data.startswith(_ENDS) or any(b"\n" + end in block.data for end in _ENDS):
        return None  # a blank line, which pyarrow parses as a row
    if block.data.count(b"\r") != block.data.count(b"\r\n"):
        return None  # pyarrow ends a line at a lone carriage return
    if block.data.startswith(BYTE_ORDER_MARK):
        return None  # part of a value here, but pyarrow would drop it
    rows = block.data.count(b"\n") + (not block.data.endswith(b"\n"))
    try:
        table = csv.read_csv(
            pa.BufferReader(block.data),
            # A single chunk gives each column a single dictionary.
            csv.ReadOptions(use_threads=False, column_names=names, block_size=len(block.data) + 1),
            csv.ParseOptions(
                delimiter=separator, quote_char='"' if quoted else False, ignore_empty_lines=False
            ),
            csv.ConvertOptions(
                column_types={name: _ARROW[raw] for name, raw in columns.items()},
                include_columns=list(columns),
                null_values=[""],
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows:
        return None  # a line break within quotes
    return {name: table[name].combine_chunks() for name in columns}

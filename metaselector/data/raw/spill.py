"""Blocks of rows on disk, for files that are read more than once and may not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.data.raw.columns import RawBlock

_LINES = "line"
"""First column of a file; the name may occur again among the others."""


class SpilledBlocks(Sequence[RawBlock]):
    """A sequence of blocks, each in a file of its own.

    A block is mapped into memory when it is asked for, and unmapped when its columns are gone.
    """

    def __init__(self) -> None:
        self._files: list[tuple[Path, Path]] = []
        self._starts = [0]

    @classmethod
    def write(cls, blocks: Iterable[RawBlock], folder: Path) -> SpilledBlocks:
        """Write `blocks` to the existing directory `folder`, one at a time."""
        spilled = cls()
        for block in blocks:
            batch = _batch(block)
            file = folder / f"{len(spilled)}.arrow"
            with (
                pa.OSFile(str(file), "wb") as sink,
                pa.ipc.new_stream(sink, batch.schema) as writer,
            ):
                writer.write_batch(batch)
            spilled._files.append((file, block.path))
            spilled._starts.append(spilled._starts[-1] + len(batch))
        return spilled

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each block, then the number of rows, int64 ``[blocks + 1]``."""
        return np.array(self._starts, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, place: int) -> RawBlock: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[RawBlock]: ...
    def __getitem__(self, place: int | slice) -> RawBlock | Sequence[RawBlock]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        file, path = self._files[place]
        with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as reader:
            batch = reader.read_next_batch()
        return _block(path, batch)


def chosen(blocks: Sequence[RawBlock], rows: NDArray[np.int64]) -> tuple[RawBlock, ...]:
    """Copy some rows of `blocks`.

    Args:
        blocks: the blocks, whose rows are counted from 0.
        rows: int64 ``[n]``, rising.

    Returns:
        the rows in one block with the path of the first; in more if columns have other types in
        other blocks, or too much text for one array.
    """
    starts = _starts(blocks)
    places = np.searchsorted(rows, starts)
    found: list[tuple[Path, list[pa.RecordBatch]]] = []
    for number in np.flatnonzero(np.diff(places)).tolist():
        block, wanted = blocks[number], rows[places[number] : places[number + 1]] - starts[number]
        batch = _batch(block).take(pa.array(wanted))
        if not found or found[-1][1][0].schema != batch.schema:
            found.append((block.path, []))
        found[-1][1].append(batch)
    return tuple(
        _block(path, batch)
        for path, batches in found
        for batch in pa.Table.from_batches(batches)
        .unify_dictionaries()
        .combine_chunks()
        .to_batches()
    )


def _starts(blocks: Sequence[RawBlock]) -> NDArray[np.int64]:
    if isinstance(blocks, SpilledBlocks):
        return blocks.starts
    return np.cumsum([0, *(len(block.lines) for block in blocks)])


def _batch(block: RawBlock) -> pa.RecordBatch:
    columns = [pa.array(block.lines), *block.columns.values()]
    return pa.record_batch(columns, names=[_LINES, *block.columns])


def _block(path: Path, batch: pa.RecordBatch) -> RawBlock:
    lines, *columns = batch.columns
    names = batch.schema.names[1:]
    return RawBlock(path, lines.to_numpy(), dict(zip(names, columns, strict=True)))

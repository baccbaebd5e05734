"""Blocks on disk are those that were written, and any of their rows can be had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from metaselector.data.raw.columns import RawBlock
from metaselector.data.raw.spill import SpilledBlocks, chosen

WORDS = [["a", "b", None], ["c", "a"], ["é", "", "\0", "b"]]


def blocks_of(columns: Sequence[Sequence[pa.Array]]) -> list[RawBlock]:
    """Blocks with the columns `line` and `more`, whose lines start at 2."""
    sizes = [len(one[0]) for one in columns]
    starts = np.cumsum([2, *sizes])
    return [
        RawBlock(Path(f"{n}.csv"), np.arange(start, start + size), {"line": one[0], "more": one[1]})
        for n, (start, size, one) in enumerate(zip(starts[:-1], sizes, columns, strict=True))
    ]


@pytest.fixture
def blocks() -> list[RawBlock]:
    return blocks_of(
        [
            (pa.array(one).dictionary_encode(), pa.array([[str(k)] for k in range(len(one))]))
            for one in WORDS
        ]
    )


def test_blocks_come_back(blocks: list[RawBlock], tmp_path: Path) -> None:
    spilled = SpilledBlocks.write(iter(blocks), tmp_path)
    assert len(list(tmp_path.iterdir())) == len(spilled) == 3
    assert spilled.starts.tolist() == [0, 3, 5, 9]
    for found, block in zip(spilled, blocks, strict=True):
        assert found.path == block.path
        assert found.lines.tolist() == block.lines.tolist()
        assert found.columns == block.columns
    assert [block.path.name for block in spilled[1:]] == ["1.csv", "2.csv"]
    assert not SpilledBlocks.write([], tmp_path)


@pytest.mark.parametrize("rows", [[0, 2, 3, 8], list(range(9)), [4], []])
@pytest.mark.parametrize("on_disk", [False, True])
def test_some_rows_are_one_block(
    blocks: list[RawBlock], tmp_path: Path, rows: list[int], on_disk: bool
) -> None:
    given = SpilledBlocks.write(blocks, tmp_path) if on_disk else blocks
    found = chosen(given, np.array(rows, dtype=np.int64))
    assert len(found) == bool(rows)
    words = [word for part in WORDS for word in part]
    for block in found:
        assert block.lines.tolist() == [row + 2 for row in rows]
        assert block.columns["line"].to_pylist() == [words[row] for row in rows]
        assert block.columns["more"].type == blocks[0].columns["more"].type


def test_columns_of_several_types_stay_apart(tmp_path: Path) -> None:
    """As in JSON lines, where a block may hold lists."""
    text, lists = pa.array(["a", "b"]), pa.array([["a"], ["b"]])
    given = SpilledBlocks.write(blocks_of([(text, text), (text, lists), (text, lists)]), tmp_path)
    found = chosen(given, np.array([1, 2, 4, 5]))
    assert [block.lines.tolist() for block in found] == [[3], [4, 6, 7]]
    assert [block.path.name for block in found] == ["0.csv", "1.csv"]

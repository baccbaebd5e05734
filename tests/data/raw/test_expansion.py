"""Small files that expand into large ones."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from metaselector.common.errors import ConfigError, DataError
from metaselector.data.raw import csv_blocks, expansion, parquet_blocks
from metaselector.data.raw.csv_lines import MAX_COLUMNS
from metaselector.data.raw.file import RawFile
from metaselector.data.raw.json_lines import read_json_lines
from metaselector.data.raw.lines import Block, read_blocks
from metaselector.data.raw.values import Column

MESSAGE = r"expands from about .* to more than about .*METASELECTOR_MAX_EXPANSION"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "ALLOWANCE", 10_000)
    monkeypatch.setattr(expansion, "MAX_EXPANSION", 10)


def _columns(path: Path, columns: dict[str, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in columns}
    for block in RawFile(path).blocks(columns):
        for name, column in block.columns.items():
            found[name] += column.to_pylist()
    return found


def _zipped(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data))
    return path


@pytest.mark.parametrize("text", [b"u,i\n" + b"a,b\n" * 9_000, b"{}\n" * 12_000, b"x" * 40_000])
def test_gzip(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(DataError, match=r"log\.gz:\d+: " + MESSAGE):
        list(read_blocks(_zipped(tmp_path / "log.gz", text), 1000))


@pytest.mark.parametrize("times", ["1000", "inf", "1e3"])
def test_the_bound_is_adjustable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: str
) -> None:
    monkeypatch.setenv(expansion.VARIABLE, times)
    path = _zipped(tmp_path / "log.csv.gz", b"u,i\n" + b"a,b\n" * 9_000)
    assert _columns(path, {"u": "word"})["u"] == ["a"] * 9_000


@pytest.mark.parametrize("times", ["much", "nan", "0.5", "-3"])
def test_a_bound_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: str) -> None:
    monkeypatch.setenv(expansion.VARIABLE, times)
    with pytest.raises(ConfigError, match=f"METASELECTOR_MAX_EXPANSION='{times}' is not a number"):
        list(read_blocks(_zipped(tmp_path / "log.gz", b"a\n")))


def test_what_is_not_compressed_has_no_bound(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\n" * 30_000)
    assert sum(len(block.lines()) for block in read_blocks(tmp_path / "log", 1000)) == 30_000


def test_json_lines(tmp_path: Path) -> None:
    path = _zipped(tmp_path / "log.json.gz", b'{"a": "b"}\n' * 4_000)
    with pytest.raises(DataError, match=MESSAGE):
        list(read_json_lines(path, [Column("a", "key")], 1000))


WORDS = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2_000, np.int32)), ["w" * 1_000])
FLAT = {
    "words": WORDS,
    "numbers": pa.array(np.zeros(200_000)),
    "flags": pa.array(np.zeros(200_000, dtype=bool)),
    "one long list": pa.ListArray.from_arrays([0, 2_000], pa.array(np.zeros(2_000))),
    "long words": pa.ListArray.from_arrays([0, 2_000], WORDS),
}


@pytest.mark.parametrize("name", [*FLAT][1:])
def test_parquet(tmp_path: Path, name: str) -> None:
    parquet.write_table(pa.table({"x": FLAT[name]}), tmp_path / "log.parquet")
    with pytest.raises(DataError, match=r"log\.parquet: " + MESSAGE):
        _columns(tmp_path / "log.parquet", {"x": "word"})


def test_repeated_words_of_parquet_stay_small(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"x": WORDS}), tmp_path / "log.parquet")
    (block,) = RawFile(tmp_path / "log.parquet").blocks({"x": "word"})
    assert block.columns["x"].nbytes < 20_000


def test_unread_parquet_columns_do_not_count(tmp_path: Path) -> None:
    wide = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(40_000)), 40_000)
    parquet.write_table(pa.table({"x.y": ["a"], "x": wide}), tmp_path / "log.parquet")
    assert _columns(tmp_path / "log.parquet", {"x.y": "word"}) == {"x.y": ["a"]}
    with pytest.raises(DataError, match=MESSAGE):
        _columns(tmp_path / "log.parquet", {"x": "word"})
    with pytest.raises(DataError, match=MESSAGE):
        expansion.read_whole(tmp_path / "log.parquet")


def test_blocks_of_long_lists_have_fewer_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_blocks, "_VALUES", 50)
    lists = [[f"w{row}", "other", None] * 3 for row in range(20)] + [None, []]
    table = pa.table({"x": pa.array(lists, pa.list_(pa.string()))})
    parquet.write_table(table, tmp_path / "log.parquet")
    blocks = list(RawFile(tmp_path / "log.parquet").blocks({"x": "word"}))
    assert len(blocks) > 3
    assert {block.columns["x"].type for block in blocks} == {pa.list_(pa.string())}
    assert _columns(tmp_path / "log.parquet", {"x": "word"})["x"] == lists


@pytest.mark.parametrize("most", [1, 2, 3, 100])
@pytest.mark.parametrize(
    "data", [b"a\nbb\n\nccc\nd\ne", b"a\nb\n", b"a", b"\n\n\n\n", b"aaaa\n\n\n"]
)
def test_pieces_are_the_block(data: bytes, most: int) -> None:
    block, line = Block(7, data, last=True), 7
    pieces = list(block.pieces(most))
    for piece in pieces:
        assert piece.first_line == line
        assert piece.data.count(b"\n") <= most
        line += piece.data.count(b"\n")
    assert b"".join(piece.data for piece in pieces) == data
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_blocks_of_short_lines_are_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quote: bytes
) -> None:
    monkeypatch.setattr(csv_blocks, "_CELLS", 20)
    monkeypatch.setattr(csv_blocks, "_SLOW_CELLS", 6)
    lines = [b"a%d,%sb%s" % (row, quote, quote * (row % 2)) for row in range(55)]
    lines = [line + quote * (line.count(b'"') % 2) for line in lines]
    (tmp_path / "log.csv").write_bytes(b"u,i\n" + b"\n".join(lines))
    blocks = list(RawFile(tmp_path / "log.csv").blocks({"u": "word", "i": "word"}))
    assert len(blocks[0].lines) <= 10
    assert np.concatenate([block.lines for block in blocks]).tolist() == [*range(2, 57)]
    found = _columns(tmp_path / "log.csv", {"u": "word", "i": "word"})
    assert found == {"u": [f"a{row}" for row in range(55)], "i": ["b"] * 55}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_too_many_columns(tmp_path: Path, kind: str) -> None:
    names = [f"c{place}" for place in range(MAX_COLUMNS + 1)]
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        path.write_text(",".join(names) + "\n")
    else:
        parquet.write_table(pa.table({name: [1] for name in names}), path)
    with pytest.raises(DataError, match=r"has 16,385 columns, but at most 16,384 are"):
        _ = RawFile(path).header

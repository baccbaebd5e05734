"""Files, folders of files, and patterns of names."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.data.raw.file import RawFile

PARTS = [[("ann", 1), ("bob", 2)], [("cy", 3)], [("ann", 4), ("dee", 5)]]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    return bytes(sink.getvalue())


def text(rows: list[tuple[str, int]], separator: str) -> bytes:
    return "".join(f"{a}{separator}{b}\n" for a, b in [("who", "n"), *rows]).encode()


def table(rows: list[tuple[str, int]]) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table({"who": [a for a, _ in rows], "n": [b for _, b in rows]}), sink)
    return bytes(sink.getvalue())


def objects(rows: list[tuple[str, int]]) -> bytes:
    return "".join(f'{{"who": "{a}", "n": {b}}}\n' for a, b in rows).encode()


FORMATS: dict[str, Callable[[list[tuple[str, int]]], bytes]] = {
    ".csv": lambda rows: text(rows, ","),
    ".tsv": lambda rows: text(rows, "\t"),
    ".csv.gz": lambda rows: gzip.compress(text(rows, ",")),
    ".csv.zst": lambda rows: zstd(text(rows, ",")),
    ".tsv.bz2": lambda rows: bz2.compress(text(rows, "\t")),
    ".jsonl": objects,
    ".ndjson.gz": lambda rows: gzip.compress(objects(rows)),
    ".parquet": table,
}


def read(file: RawFile) -> list[tuple[str, int, str, int]]:
    found: list[tuple[str, int, str, int]] = []
    for block in file.blocks({"who": "word", "n": "number"}):
        who, n = (block.columns[name].to_pylist() for name in ("who", "n"))
        names = [block.path.name] * len(who)
        found += zip(names, block.lines.tolist(), who, map(int, n), strict=True)
    return found


@pytest.mark.parametrize("ending", FORMATS)
def test_a_folder_and_a_pattern_are_their_files_in_order(tmp_path: Path, ending: str) -> None:
    deeper = tmp_path / "logs" / "deeper"
    deeper.mkdir(parents=True)
    expected: list[Any] = []
    for place, rows in enumerate(PARTS):
        path = tmp_path / "logs" / f"part-{place}{ending}"
        path.write_bytes(FORMATS[ending](rows))
        (deeper / path.name).write_bytes(FORMATS[ending](rows))
        expected += read(RawFile(path))
    assert [who for _, _, who, _ in expected] == [who for rows in PARTS for who, _ in rows]
    assert read(RawFile(tmp_path / "logs")) == expected
    assert read(RawFile(tmp_path / "logs" / f"*{ending}")) == expected
    assert len(read(RawFile(tmp_path / "**" / f"*{ending}"))) == 2 * len(expected)
    assert RawFile(tmp_path / "logs").header == ["who", "n"]


def test_a_folder_of_parquet_may_hold_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(table(PARTS[0]))
    (tmp_path / "_SUCCESS").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"read me")
    assert len(read(RawFile(tmp_path))) == 2


@pytest.mark.parametrize(
    ("files", "asked", "said"),
    [
        (
            {"a.csv": "who,n\nx,1\n"},
            "b*.csv",
            "b*.csv: no file has such a name; correct the pattern",
        ),
        ({"a.md": "# who"}, "a.md", "a.md: unknown file format; use .csv, .tsv"),
        ({"a.md": "# who"}, "*.md", "a.md: unknown file format; use .csv, .tsv"),
        (
            {"a.csv": "who,n\nx,1\n", "b.tsv": "who\tn\nx\t1\n"},
            ".",
            "b.tsv: has another format than a.csv; read one format with a pattern such as ",
        ),
        (
            {"a.csv": "who,n\nx,1\n", "b.csv": "who,m\nx,1\n"},
            "*.csv",
            "b.csv:1 (column n): there is no such column, but a.csv has it; ",
        ),
        (
            {"a.csv": "who,n\nx,1\n", "b.csv": "who,n\nx,1\ny\n"},
            "*.csv",
            "b.csv:3 (column n): 'y' has 1 instead of 2 values separated by ','",
        ),
    ],
)
def test_what_is_wrong(tmp_path: Path, files: dict[str, str], asked: str, said: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as error:
        read(RawFile(tmp_path / asked))
    assert said in str(error.value)


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".tsv.bz2"])
def test_cut_files(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"log{ending}"
    path.write_bytes(FORMATS[ending](PARTS[0])[:-8])
    with pytest.raises(DataError, match=r"log\.[tc]sv.*runcated.*"):
        read(RawFile(path))

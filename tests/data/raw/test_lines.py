"""Blocks of lines, gzipped or not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.raw import lines
from metaselector.data.raw.csv_blocks import text_blocks
from metaselector.data.raw.lines import Block, read_blocks


@pytest.mark.parametrize("zipped", [False, True])
@given(
    words=st.lists(st.text("ab\r", max_size=5).map(str.encode), min_size=1, max_size=9),
    blank=st.sampled_from([b"", b"\n", b"\r\n  \n"]),
    size=st.integers(1, 12),
)
def test_blocks_are_the_lines_of_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    zipped: bool,
    words: list[bytes],
    blank: bytes,
    size: int,
) -> None:
    words = [*words, b"end"]
    path = tmp_path_factory.mktemp("lines") / "file"
    data = b"\n".join(words) + blank
    path.write_bytes(gzip.compress(data) if zipped else data)
    number = 1
    found = []
    blocks = list(read_blocks(path, size))
    for block in blocks:
        assert block.first_line == number
        found += block.lines()
        number += len(block.lines())
    assert found == [word.removesuffix(b"\r") for word in words]
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert b"".join(block.data for block in blocks).endswith(b"\n") == (blank != b"")


@pytest.mark.parametrize("size", [1, 4, 99])
def test_blank_columns_of_the_last_line_stay(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"a\tb\t\nc\t\t\n\t\n")
    found = [line for block in read_blocks(tmp_path / "file", size) for line in block.lines()]
    assert found == [b"a\tb\t", b"c\t\t"]


@given(
    words=st.lists(st.sampled_from([b"", b"a", b"bc"]), min_size=1, max_size=4),
    ended=st.booleans(),
    first=st.integers(1, 5),
    line=st.integers(0, 9),
)
def test_the_lines_after_one(words: list[bytes], ended: bool, first: int, line: int) -> None:
    data = b"\n".join([*words, b"end"]) + b"\n" * ended
    block = Block(first, data).after(line)
    expected = [*words, b"end"][max(line + 1 - first, 0) :]
    assert block.first_line == max(first, line + 1)
    assert (block.lines() if block.data else []) == expected


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa\nb")
    assert [block.lines() for block in read_blocks(tmp_path / "file")] == [[b"a"], [b"b"]]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_empty(tmp_path: Path, content: bytes, zipped: bool) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match="the file is empty"):
        list(read_blocks(path))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file not found"):
        list(read_blocks(tmp_path / "file"))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_blocks(tmp_path))


def test_truncated_gzip_says_after_which_line(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\nthree\n")[:-8])
    with pytest.raises(DataError) as error:
        list(read_blocks(path, 4))
    assert str(error.value).startswith(f"{path}:")
    assert "the gzip file is truncated here; copy or fetch it again" in str(error.value)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    data = bytearray(gzip.compress(b"one\ntwo\n" * 99))
    data[-6] ^= 1  # its checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match="the gzip file is damaged"):
        list(read_blocks(path))


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    (tmp_path / "file").write_bytes(b"short\n" + b"x" * 1000)
    with pytest.raises(DataError, match=r"file:2: is longer than 16 MiB"):
        list(read_blocks(tmp_path / "file", 10))


def test_a_byte_order_mark_within_a_file_is_text(tmp_path: Path) -> None:
    """It is part of the user's name, whatever the blocks."""
    path = tmp_path / "log.csv"
    path.write_text("user,item\n\ufeffa,b\n\ufeffa,c\n", encoding="utf-8")
    for size in (8, 1000):
        blocks = text_blocks(path, ",", {"user": "word", "item": "word"}, size)
        users = [user for block in blocks for user in block.columns["user"].to_pylist()]
        assert users == ["\ufeffa"] * 2

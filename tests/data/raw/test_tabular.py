"""The fast parser of delimited text, compared with the slow one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.raw.lines import Block
from metaselector.data.raw.records import frame_of
from metaselector.data.raw.tabular import TextLayout, read_fast, read_rows, read_slowly, read_table
from metaselector.data.raw.values import Column

PATH = Path("file")
COLUMNS = (
    Column("user", "key"),
    Column("rating", "number"),
    Column("time", "seconds"),
    Column("title"),
)
LAYOUTS = {
    "tab": TextLayout(COLUMNS),
    "bar, latin-1": TextLayout(COLUMNS, "|", "latin-1"),
    "two colons": TextLayout(COLUMNS, "::"),
    "header": TextLayout(COLUMNS, header_lines=1),
    "quoted": TextLayout(COLUMNS, ",", quoted=True),
}
NUMBERS = [
    "3",
    " 4 ",
    "+1",
    "-2.5",
    ".5",
    "7.",
    "1e3",
    "0x1",
    "1_0",
    "nan",
    "inf",
    "",
    "1e400",
    "N/A",
]
TIMES = ["0", "881250949", "881250949.0", "8.8e8", "1.5", "-1", "1e15", "", "x"]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@given(data=st.data())
def test_fast_accepts_only_what_the_slow_twin_reads_the_same(
    layout: TextLayout, data: st.DataObject
) -> None:
    words = st.text(st.sampled_from("ab \"'\\,:|\x1f\x00\r\té\u2028"), max_size=4)
    row = st.tuples(
        words | st.just("u"), st.sampled_from(NUMBERS), st.sampled_from(TIMES), words
    ).map(layout.separator.join)
    lines = data.draw(st.lists(row | words, max_size=4))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    content = end.join(lines).encode(data.draw(st.sampled_from(["utf-8", "latin-1"])), "replace")
    if not content:
        return
    block = Block(1, content + end.encode() * data.draw(st.booleans()))
    fast = read_fast(block, layout)
    try:
        slow = read_slowly(PATH, block, layout)
    except DataError:
        assert fast is None
    else:
        if fast is not None:
            assert fast.equals(slow)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_right_file_takes_the_fast_path(layout: TextLayout) -> None:
    separator = layout.separator
    title = "A title" if layout.quoted else "A \"title\", 'quoted'"
    block = Block(7, (separator.join(["u", "3.5", "881250949", title]) + "\n").encode() * 3)
    fast = read_fast(block, layout)
    assert fast is not None
    assert fast.num_rows == 3
    assert fast.equals(read_slowly(PATH, block, layout))


@pytest.mark.parametrize("size", [5, 40, 2**24])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_file_in_blocks_is_one_table(tmp_path: Path, layout: TextLayout, size: int) -> None:
    path = tmp_path / "file"
    rows = [[f"u{i % 3}", f"{i / 2}", str(i), ""] for i in range(9)]
    rows[4][1] = "+2"  # this block takes the slow path
    lines = ["header"] * layout.header_lines + [layout.separator.join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n\n")
    blocks = list(read_rows(path, layout, size))
    assert len(blocks) == 2 if size == 2**24 else len(blocks) > 2
    expected = pd.DataFrame(
        {
            "user": pd.Series([f"u{i % 3}" for i in range(9)], dtype="str"),
            "rating": [i / 2 for i in range(9)],
            "time": [i * 1_000_000 for i in range(9)],
            "title": pd.Series([""] * 9, dtype="str"),
            "line": range(1 + layout.header_lines, 10 + layout.header_lines),
        }
    )
    pd.testing.assert_frame_equal(frame_of(blocks, COLUMNS), expected)


@pytest.mark.parametrize("size", [5, 40, 2**24])
def test_a_bad_line_in_a_later_block_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_text("header\n" + "u\t1\t7\ttitle\n" * 8 + "u\tx\t7\ttitle\n" * 2)
    with pytest.raises(DataError) as error:
        list(read_rows(path, LAYOUTS["header"], size))
    assert str(error.value).startswith(f"{path}:10 (column rating): 'x' is not a finite number")


@pytest.mark.parametrize("size", [1, 2**24])
def test_a_header_longer_than_the_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"file: the file contains no records"):
        list(read_rows(path, TextLayout(COLUMNS, header_lines=2), size))


def test_keys_are_dictionaries(tmp_path: Path) -> None:
    """Each key of a block is stored once."""
    path = tmp_path / "file"
    path.write_text("u\t1\t7\ttitle\n" * 8)
    words = next(read_rows(path, LAYOUTS["tab"])).words("user")
    assert words.dictionary.to_pylist() == ["u"]


@pytest.mark.parametrize(
    ("time", "hint"),
    [
        ("7289654399", None),
        ("7289654400", "; it looks like milliseconds, divide by 1000; "),
        ("881250949000", "; it looks like milliseconds, divide by 1000; "),
        ("881250949000000", "; it looks like microseconds, divide by 1000000; "),
        ("881250949000000000", "; it looks like nanoseconds, divide by 1000000000; "),
        ("1e20", "up to year 2200; correct"),
        ("-881250949000", "up to year 2200; correct"),
    ],
)
def test_times_end_with_the_year_2200(tmp_path: Path, time: str, hint: str | None) -> None:
    path = tmp_path / "file"
    path.write_text(f"u\t1\t{time}\ttitle\n")
    if hint is None:
        assert read_table(path, LAYOUTS["tab"])["time"][0] == int(time) * 1_000_000
        return
    with pytest.raises(DataError) as error:
        read_table(path, LAYOUTS["tab"])
    assert str(error.value).startswith(f"{path}:1 (column time): '{time}' is not a time in")
    assert hint in str(error.value)


def test_what_only_the_slow_path_reads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"u::+3::7::a\rb\x1fc\n")
    frame = read_table(path, TextLayout(COLUMNS, "::"))
    assert frame.iloc[0].to_dict() == {
        "user": "u",
        "rating": 3.0,
        "time": 7_000_000,
        "title": "a\rb\x1fc",
        "line": 1,
    }


def test_long_values_are_shortened_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("u\t" + "9x" * 500 + "\t7\ttitle\n")
    with pytest.raises(DataError) as error:
        read_table(path, TextLayout(COLUMNS))
    assert len(str(error.value)) < 250 + len(str(path))

"""The fast path against its slow twin."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.tabular import Layout, _read_fast, _read_slowly, read_table
from metaselector.data.values import Column
from metaselector.errors import DataError

PATH = Path("file")
COLUMNS = (
    Column("user", "key"),
    Column("rating", "number"),
    Column("time", "seconds"),
    Column("title"),
)
LAYOUTS = {
    "tab": Layout(COLUMNS),
    "bar, latin-1": Layout(COLUMNS, "|", "latin-1"),
    "two colons": Layout(COLUMNS, "::"),
    "header": Layout(COLUMNS, header_lines=1),
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
    layout: Layout, data: st.DataObject
) -> None:
    words = st.text(st.sampled_from("ab \"'\\,:|\x1f\x00\r\té\u2028"), max_size=4)
    row = st.tuples(
        words | st.just("u"), st.sampled_from(NUMBERS), st.sampled_from(TIMES), words
    ).map(layout.separator.join)
    lines = data.draw(st.lists(row | words, max_size=4))
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    content = end.join(lines).encode(data.draw(st.sampled_from(["utf-8", "latin-1"])), "replace")
    fast = _read_fast(content, layout)
    try:
        slow = _read_slowly(PATH, content, layout)
    except DataError:
        assert fast is None
    else:
        if fast is not None:
            pd.testing.assert_frame_equal(fast, slow)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_right_file_takes_the_fast_path(layout: Layout) -> None:
    separator = layout.separator
    rows = [separator.join(["u", "3.5", "881250949", "A \"title\", 'quoted'"])] * 3
    content = ("\n".join(["header"] * layout.header_lines + rows) + "\n\n").encode()
    fast = _read_fast(content, layout)
    assert fast is not None
    pd.testing.assert_frame_equal(fast, _read_slowly(PATH, content, layout))


def test_what_only_the_slow_path_reads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"u::+3::7::a\rb\x1fc\n")
    frame = read_table(path, Layout(COLUMNS, "::"))
    assert frame.iloc[0].to_dict() == {
        "user": "u",
        "rating": 3.0,
        "time": 7,
        "title": "a\rb\x1fc",
        "line": 1,
    }


def test_long_values_are_shortened_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("u\t" + "9x" * 500 + "\t7\ttitle\n")
    with pytest.raises(DataError) as error:
        read_table(path, Layout(COLUMNS))
    assert len(str(error.value)) < 250 + len(str(path))

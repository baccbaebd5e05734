"""The fast parser of JSON lines, compared with the slow one."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.raw.json_lines import first_object, read_fast, read_json_lines, read_slowly
from metaselector.data.raw.lines import Block
from metaselector.data.raw.records import frame_of
from metaselector.data.raw.values import Column

PATH = Path("file")
COLUMNS = (Column("user", "key"), Column("stars", "number"), Column("time", "seconds"))
RIGHT = {"text": "x {\n", "user": "ann", "stars": 4, "time": 881250949, "votes": [0, {"a": None}]}


def _dump(**changes: object) -> str:
    return json.dumps({**RIGHT, **changes})


TEXTS = ['"u"', '""', '"\\u00e9\\ud83d\\ude00"', '"\\ud800"', '"é"', "7", "null", "true", "[1]"]
NUMBERS = ["3", "4.5", "-1", "1e3", "1E400", "01", "+1", ".5", "NaN", "-Infinity", '"3"', "null"]
NUMBERS += ["true", "12345678901234567890123", "9" * 400, "{}"]
TIMES = ["0", "881250949", "881250949.0", "8.8e8", "1.5", "-1", "1e15", "null", '"7"']
KEYS = ["user", "stars", "time", "other", "us\\u0065r"]

pairs = st.tuples(st.sampled_from(KEYS), st.sampled_from([*TEXTS, *NUMBERS, *TIMES])) | st.tuples(
    st.just("other"), st.sampled_from(['{"user": "b", "user": "c"}', '"\\n"', "[[], {}]", '"\x01"'])
)
right = st.tuples(
    st.tuples(st.just("user"), st.sampled_from(TEXTS)),
    st.tuples(st.just("stars"), st.sampled_from(NUMBERS)),
    st.tuples(st.just("time"), st.sampled_from(TIMES)),
)
objects = st.tuples(right, st.lists(pairs, max_size=2)).map(
    lambda drawn: "{" + ", ".join(f'"{k}": {v}' for k, v in [*drawn[0], *drawn[1]]) + "}"
)
odd = st.sampled_from(["", "{}", "{", "[]", "null", _dump() * 2, _dump() + " x", " " + _dump()])


@given(data=st.data())
def test_fast_accepts_only_what_the_slow_twin_reads_the_same(data: st.DataObject) -> None:
    lines = data.draw(st.lists(objects | st.just(_dump()) | odd, min_size=1, max_size=4))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    content = end.join(lines).encode(data.draw(st.sampled_from(["utf-8", "latin-1"])), "replace")
    if not content.strip():
        return
    block = Block(1, content)
    fast = read_fast(block, COLUMNS)
    try:
        slow = read_slowly(PATH, block, COLUMNS)
    except DataError:
        assert fast is None
    else:
        if fast is not None:
            assert fast.equals(slow)


def test_objects_across_lines_take_the_slow_path() -> None:
    """Three lines and three objects, but not one on each."""
    one = _dump()
    content = f'{{"other":\n{{}}, {one[1:]}\n{one}{one}'
    assert content.count("\n") == 2
    assert read_fast(Block(1, content.encode()), COLUMNS) is None


def test_a_right_block_takes_the_fast_path() -> None:
    block = Block(1, (f"{_dump()}\n" * 3).encode())
    fast = read_fast(block, COLUMNS)
    assert fast is not None
    assert fast.equals(read_slowly(PATH, block, COLUMNS))


@pytest.mark.parametrize("size", [1, 150, 2**24])
def test_a_file_in_blocks_is_one_table(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    rows = [_dump(user=f"u{i}", stars=i / 2, time=i) for i in range(9)]
    rows[4] = " " + rows[4]  # this block takes the slow path
    path.write_text("\n".join(rows) + "\n\n")
    pd.testing.assert_frame_equal(
        frame_of(read_json_lines(path, COLUMNS, size), COLUMNS),
        pd.DataFrame(
            {
                "user": pd.Series([f"u{i}" for i in range(9)], dtype="str"),
                "stars": [i / 2 for i in range(9)],
                "time": [i * 1_000_000 for i in range(9)],
                "line": range(1, 10),
            }
        ),
    )


BAD = {  # a line; its column, if one is named; what the message shows
    "not json": ("{'user': 1}", None, "is not JSON"),
    "cut": (_dump()[:-5], None, "is not JSON"),
    "blank": ("", None, "is not JSON"),
    "list": ("[1]", None, "is not a JSON object"),
    "deep": ("[" * 100_000, None, "is not JSON"),
    "bytes": (_dump(text="\udcff").replace("\\udcff", "\udcff"), None, "byte 0xff at position"),
    "missing": (
        json.dumps({"user": "ann", "stars": 4}),
        "time",
        "the key is missing; the line has",
    ),
    "twice": (_dump()[:-1] + ', "stars": 5}', "stars", "the key is given twice"),
    "user number": (_dump(user=7), "user", "'7' is not text"),
    "user empty": (_dump(user=""), "user", "'' is empty"),
    "user surrogate": (_dump(user="\ud800"), "user", "is not text"),
    "stars text": (_dump(stars="good"), "stars", "'good' is not a number"),
    "stars null": (_dump(stars=None), "stars", "'null' is not a number"),
    "stars true": (_dump(stars=True), "stars", "'true' is not a number"),
    "stars list": (_dump(stars=[4]), "stars", "a list is not a valid value"),
    "stars nan": (_dump(stars=float("nan")), "stars", "'NaN' is not a finite number"),
    "stars huge": (_dump(stars=10**400), "stars", "is not a finite number"),
    "time before 1970": (_dump(time=-1), "time", "'-1' is not a time in seconds"),
    "time in ms": (_dump(time=881250949000), "time", "'881250949000' is not a time in"),
}


@pytest.mark.parametrize("bad", BAD)
def test_the_first_bad_line_is_named(tmp_path: Path, bad: str) -> None:
    line, column, shown = BAD[bad]
    path = tmp_path / "file"
    path.write_text(f"{_dump()}\n{line}\n{line}\n{_dump()}\n", errors="surrogateescape")
    with pytest.raises(DataError) as error:
        list(read_json_lines(path, COLUMNS))
    message = str(error.value)
    where = f"{path}:2: " if column is None else f"{path}:2 (column {column}): "
    assert message.startswith(where)
    assert shown in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400


def test_first_object(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(f"{_dump()}\nnonsense\n")
    assert first_object(path) == RIGHT

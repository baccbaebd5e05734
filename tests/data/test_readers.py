"""One suite for all readers: the same tiny world in every format gives the same table."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.data.interactions import InteractionTable
from metaselector.data.public.atomic import read_atomic
from metaselector.data.public.movielens import GENRES_100K, read_movielens_1m, read_movielens_100k
from metaselector.data.public.movielens_large import read_movielens_10m, read_movielens_csv

RATINGS = [
    ("1", "10", "5", "881250949"),
    ("1", "20", "3", "881250950"),
    ("2", "10", "4", "881250951"),
    ("2", "30", "1", "881250951"),
    ("1", "30", "2", "881250999"),
    ("2", "99", "2", "881251000"),  # an item that the item file does not know
]
USERS = [("1", "25", "F", "7", "55117"), ("2", "56", "M", "16", "E1 4NS")]
ITEMS = [
    ("10", "Toy Story (1995)", ("Animation", "Children's", "Comedy")),
    ("20", "Misérables, Les (1934) (1995)", ("Film-Noir",)),
    ("30", 'Tomorrow "is" another day (1994)', ("Sci-Fi", "War")),
]


def write_100k(directory: Path) -> None:
    def flags(genres: tuple[str, ...]) -> list[str]:
        return [str(int(genre in genres)) for genre in GENRES_100K]

    _write(directory / "u.data", "\t", RATINGS)
    _write(directory / "u.user", "|", USERS)
    items = [(i, title, "01-Jan-1998", "", "http://x", *flags(g)) for i, title, g in ITEMS]
    _write(directory / "u.item", "|", items, "latin-1")


def write_1m(directory: Path) -> None:
    _write(directory / "ratings.dat", "::", RATINGS)
    _write(directory / "users.dat", "::", [(u, g, a, o, z) for u, a, g, o, z in USERS])
    _write(directory / "movies.dat", "::", [(i, t, "|".join(g)) for i, t, g in ITEMS], "latin-1")


def write_10m(directory: Path) -> None:
    _write(directory / "ratings.dat", "::", RATINGS)
    _write(directory / "movies.dat", "::", [(i, t, "|".join(g)) for i, t, g in ITEMS])


def write_csv(directory: Path) -> None:
    _write(directory / "ratings.csv", ",", [("userId", "movieId", "rating", "timestamp"), *RATINGS])
    with (directory / "movies.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["movieId", "title", "genres"])
        writer.writerows((i, t, "|".join(g)) for i, t, g in ITEMS)


def write_atomic(directory: Path) -> None:
    ratings = [(u, i, r, f"{t}.0") for u, i, r, t in RATINGS]
    header = "user_id:token item_id:token rating:float timestamp:float"
    _write(directory / "world.inter", "\t", [header.split(), *ratings])
    header = "user_id:token age:token gender:token occupation:token zip_code:token"
    _write(directory / "world.user", "\t", [header.split(), *USERS])
    header = "item_id:token movie_title:token_seq release_year:token class:token_seq"
    items = [(i, t, t[-5:-1], " ".join(g)) for i, t, g in ITEMS]
    _write(directory / "world.item", "\t", [header.split(), *items])


def _write(path: Path, separator: str, rows: list, encoding: str = "utf-8") -> None:
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding=encoding)


@dataclass(frozen=True)
class Format:
    write: Callable[[Path], None]
    read: Callable[[Path], InteractionTable]
    files: tuple[str, ...]  # interactions, users if it has any, items
    separator: str
    header_lines: int
    columns: tuple[str, str, str, str]

    @property
    def knows_users(self) -> bool:
        return len(self.files) == 3


_OURS = ("user", "item", "rating", "timestamp")
_THEIRS = ("user_id", "item_id", "rating", "timestamp")
FORMATS = {
    "100k": Format(write_100k, read_movielens_100k, ("u.data", "u.user", "u.item"), "\t", 0, _OURS),
    "1m": Format(
        write_1m, read_movielens_1m, ("ratings.dat", "users.dat", "movies.dat"), "::", 0, _OURS
    ),
    "10m": Format(write_10m, read_movielens_10m, ("ratings.dat", "movies.dat"), "::", 0, _OURS),
    "20m": Format(
        write_csv,
        partial(read_movielens_csv, name="movielens-20m"),
        ("ratings.csv", "movies.csv"),
        ",",
        1,
        _OURS,
    ),
    "atomic": Format(
        write_atomic,
        lambda directory: read_atomic(directory, "world"),
        ("world.inter", "world.user", "world.item"),
        "\t",
        1,
        _THEIRS,
    ),
}


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.fixture(params=[(name, i) for name, f in FORMATS.items() for i in range(len(f.files))])
def file_of_format(request: pytest.FixtureRequest) -> tuple[Format, str]:
    """Every file of every format."""
    name, i = request.param
    return FORMATS[name], FORMATS[name].files[i]


@pytest.fixture(params=[(name, i) for name, f in FORMATS.items() for i in range(1, len(f.files))])
def description(request: pytest.FixtureRequest) -> tuple[Format, str]:
    """Every file of every format that describes users or items."""
    name, i = request.param
    return FORMATS[name], FORMATS[name].files[i]


def read_all(format_: Format, directory: Path) -> InteractionTable:
    """The table, after everything that it reads late has been read."""
    table = format_.read(directory)
    assert len(table.items.columns) == 3
    return table


def _message(error: pytest.ExceptionInfo[DataError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_table_is_the_world(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    table = format_.read(tmp_path)

    assert table.source == tmp_path / format_.files[0]
    expected = pd.DataFrame(RATINGS, columns=list(_OURS), dtype="str").assign(
        rating=[5.0, 3.0, 4.0, 1.0, 2.0, 2.0],
        timestamp=np.array([int(row[3]) for row in RATINGS], dtype=np.int64),
        line=np.arange(len(RATINGS), dtype=np.int64) + 1 + format_.header_lines,
    )
    pd.testing.assert_frame_equal(table.interactions, expected)
    users = pd.DataFrame(
        {"age": ["25", "56"], "gender": ["F", "M"], "occupation": ["7", "16"]},
        index=pd.Index(["1", "2"], name="user", dtype="str"),
        dtype="str",
    )
    if not format_.knows_users:
        users = pd.DataFrame(index=pd.Index([], name="user", dtype="str"))
    pd.testing.assert_frame_equal(table.users, users)
    index = pd.Index([row[0] for row in ITEMS], name="item", dtype="str")
    items = pd.DataFrame(
        {
            "title": pd.Series([row[1] for row in ITEMS], index, dtype="str"),
            "release_year": pd.Series(["1995", "1995", "1994"], index, dtype="str"),
            "genres": pd.Series([row[2] for row in ITEMS], index, dtype=object),
        }
    )
    pd.testing.assert_frame_equal(table.items, items)
    assert [feature.name for feature in table.user_features] == list(users)
    assert [(feature.name, feature.kind, feature.profile) for feature in table.item_features] == [
        ("genres", "multivalued", True),
        ("release_year", "categorical", False),
    ]


def test_interactions_can_be_read_again(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    table = format_.read(tmp_path)
    for _ in range(2):
        assert sum(len(block.lines) for block in table.read()) == len(RATINGS)


def test_ids_are_text_however_large(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    huge, last = "9876543210123456789012345", RATINGS[-1]
    row = format_.separator.join([huge, "4294967297", *last[2:]])
    path.write_text(path.read_text() + row + "\n")
    found = format_.read(tmp_path).interactions.iloc[-1]
    assert (found["user"], found["item"]) == (huge, "4294967297")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n\r\n  \n",
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        gzip.compress,
    ],
    ids=["blank lines at the end", "Windows line ends", "byte order mark", "gzip"],
)
def test_harmless_differences(
    format_: Format, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    format_.write(tmp_path)
    before = format_.read(tmp_path)
    path = tmp_path / format_.files[0]
    path.write_bytes(change(path.read_bytes()))
    pd.testing.assert_frame_equal(format_.read(tmp_path).interactions, before.interactions)


@pytest.mark.parametrize(
    ("name", "format_name"),
    [("ml-100k", "100k"), ("ml-1m", "1m"), ("ml-10M100K", "10m"), ("ml-20m", "20m")],
)
def test_official_sub_folder(tmp_path: Path, name: str, format_name: str) -> None:
    (tmp_path / name).mkdir()
    format_ = FORMATS[format_name]
    format_.write(tmp_path / name)
    assert format_.read(tmp_path).source == tmp_path / name / format_.files[0]


BAD_LINES = {  # what is done to the fields of a rating; its column; what the message shows
    "too few": (lambda f: f[:3], 3, "has 3 instead of 4 columns"),
    "too many": (lambda f: [*f, "extra"], 3, "has 5 instead of 4 columns"),
    "separator": (lambda f: [";".join(f)], 1, "has 1 instead of 4 columns separated by"),
    "blank": (lambda f: [""], 1, "'' has 1 instead of 4 columns"),
    "user empty": (lambda f: ["", *f[1:]], 0, "'' is empty"),
    "item empty": (lambda f: [f[0], "", *f[2:]], 1, "'' is empty"),
    "rating word": (lambda f: [*f[:2], "good", f[3]], 2, "'good' is not a finite number"),
    "rating nan": (lambda f: [*f[:2], "nan", f[3]], 2, "'nan' is not a finite number"),
    "rating inf": (lambda f: [*f[:2], "-inf", f[3]], 2, "'-inf' is not a finite number"),
    "rating huge": (lambda f: [*f[:2], "1e999", f[3]], 2, "'1e999' is not a finite number"),
    "rating 1_0": (lambda f: [*f[:2], "1_0", f[3]], 2, "'1_0' is not a finite number"),
    "rating empty": (lambda f: [*f[:2], "", f[3]], 2, "'' is not a finite number"),
    "time word": (lambda f: [*f[:3], "noon"], 3, "'noon' is not a finite number"),
    "time empty": (lambda f: [*f[:3], ""], 3, "'' is not a finite number"),
    "time before 1970": (lambda f: [*f[:3], "-1"], 3, "'-1' is not a time"),
    "time in ms": (
        lambda f: [*f[:3], "881250949000"],
        3,
        "'881250949000' is not a time in seconds since 1970, up to year 2200; it looks like "
        "milliseconds, divide by 1000; ",
    ),
    "bytes": (lambda f: ["\udcff", *f[1:]], 0, "byte 0xff in '\ufffd' is not utf-8 text"),
}


@pytest.mark.parametrize("bad", BAD_LINES)
def test_first_bad_line_is_named(format_: Format, tmp_path: Path, bad: str) -> None:
    change, column, shown = BAD_LINES[bad]
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    lines = path.read_text().split("\n")
    row = format_.header_lines + 2
    for each in (row, row + 1):  # the first of the two is to be named
        fields = change(lines[each].split(format_.separator))
        lines[each] = format_.separator.join(fields)
    path.write_text("\n".join(lines), errors="surrogateescape")

    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    message = _message(error)
    assert message.startswith(f"{path}:{row + 1} (column {format_.columns[column]}): ")
    assert shown in message
    assert message.endswith(("correct or remove the line", "save the file as utf-8"))


@pytest.mark.parametrize("rating", ["-1", "-0.5", "0", "5.5"])
def test_rating_off_the_scale(format_: Format, tmp_path: Path, rating: str) -> None:
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    old, new = (format_.separator.join(["2", "30", value]) for value in ("1", rating))
    path.write_text(path.read_text().replace(old, new))
    if format_ is FORMATS["atomic"]:  # which hold data sets with other scales
        assert float(rating) in set(format_.read(tmp_path).interactions["rating"])
        return
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    message = _message(error)
    assert message.startswith(f"{path}:{4 + format_.header_lines} (column rating): {rating} is not")
    assert message.endswith("; correct or remove the line")


def test_truncated_gzip(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    path.write_bytes(gzip.compress(path.read_bytes())[:-9])
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    assert _message(error).startswith(f"{path}:")
    assert "the gzip file is truncated here; copy or fetch it again" in _message(error)


def test_file_truncated_inside_its_last_number(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    data = path.read_bytes()
    path.write_bytes(data[:-2])
    last = data.count(b"\n")
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    assert _message(error).startswith(f"{path}:{last} (column timestamp): ")
    assert "no line end, as in a truncated file" in _message(error)


def test_truncated_file(file_of_format: tuple[Format, str], tmp_path: Path) -> None:
    format_, name = file_of_format
    format_.write(tmp_path)
    path = tmp_path / name
    data = path.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(data[: last + 1])
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    message = _message(error)
    number = data.count(b"\n")
    assert message.startswith(f"{path}:{number} (column ")
    assert f"{data[last : last + 1].decode()!r} has 1 instead of" in message
    assert "cut short, copy or fetch it again" in message


@pytest.mark.parametrize("content", [b"", b"\n \n"], ids=["empty", "blank"])
def test_empty_file(file_of_format: tuple[Format, str], tmp_path: Path, content: bytes) -> None:
    format_, name = file_of_format
    format_.write(tmp_path)
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    assert _message(error).startswith(f"{path}: the file is empty")


def test_missing_interactions(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    path.unlink()
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    assert _message(error).startswith(f"{path}: file not found")
    path.mkdir()
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    assert _message(error).startswith(f"{path}: cannot be read")


def test_key_described_twice(description: tuple[Format, str], tmp_path: Path) -> None:
    format_, name = description
    format_.write(tmp_path)
    path = tmp_path / name
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(DataError) as error:
        read_all(format_, tmp_path)
    message = _message(error)
    assert message.startswith(f"{path}:{len(lines) + 1} (column ")
    assert f"already described in line {len(lines)};" in message

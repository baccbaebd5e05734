"""One suite for all readers: messages state what is wrong with a file, and where."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from metaselector.common.errors import DataError

from .formats import FORMATS, Format, read_all


def _message(error: pytest.ExceptionInfo[DataError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


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
    other_scale = format_ is FORMATS["tweetings"] and rating == "0"
    if other_scale or format_ is FORMATS["atomic"]:  # which hold data sets with any scale
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

"""Preparing raw files that are wrong: the mistake is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import HEADER, Invoke, contents, edit_line, prepare


def test_missing_file(invoke: Invoke, tmp_path: Path) -> None:
    error = prepare(invoke, tmp_path / "none", tmp_path / "run").lone_error
    assert error.startswith(f"{tmp_path / 'none'}: file or directory not found")
    assert not (tmp_path / "run").exists()


def test_directory_without_the_files(invoke: Invoke, tmp_path: Path) -> None:
    error = prepare(invoke, tmp_path, tmp_path / "run").lone_error
    assert error.startswith(f"{tmp_path}: no data set found here")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (4, "u3\ti7\t4", ":4 (column timestamp): 'u3\\ti7\\t4' has 3 instead of 4 columns"),
        (4, "u3\ti7\t4\t1\t1", ":4 (column timestamp): "),
        (7, "u3\ti7\tfour\t881000000", ":7 (column rating): 'four' is not a finite number"),
        (7, "u3\ti7\tnan\t881000000", ":7 (column rating): 'nan' is not a finite number"),
        (1201, "u39\ti", ":1201 (column rating): "),
        (1, "user_id:token\titem_id:token\trating:float", ":1 (column timestamp): "),
    ],
    ids=["few columns", "many columns", "text rating", "nan rating", "truncated", "header"],
)
def test_wrong_line(
    invoke: Invoke, raw: Path, tmp_path: Path, line: int, text: str, message: str
) -> None:
    edit_line(raw, line, text)
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}{message}")
    assert not (tmp_path / "run").exists()


def test_truncated_file_is_recognised(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    path = raw / "ml-100k.inter"
    path.write_bytes(path.read_bytes()[:-20])
    assert "cut short" in prepare(invoke, raw, tmp_path / "run").lone_error


def test_empty_file(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    (raw / "ml-100k.inter").write_text("")
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}: the file is empty")


def test_amazon_review_that_is_wrong(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "reviews_X_5.json"
    row = '{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1393545600}\n'
    path.write_text(row + row.replace("5.0", "9.0"))
    error = prepare(invoke, path, tmp_path / "run", "--dataset", "amazon").lone_error
    assert error.startswith(f"{path}:2 (column overall): 9 is not a rating from 1 to 5")
    assert not (tmp_path / "run").exists()


def test_files_of_ones_own_need_a_path(invoke: Invoke, tmp_path: Path) -> None:
    error = invoke("reproduce", "--run", tmp_path / "run", "--dataset", "amazon").error
    assert "set --data to the path of reviews_<category>_5.json.gz" in error


def test_truncated_zip(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "ml-100k.zip"
    path.write_bytes(b"PK\x03\x04 half of it")
    error = prepare(invoke, path, tmp_path / "run").lone_error
    assert error.startswith(f"{path}: not a zip file, or damaged")


def test_empty_split(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    rows = [f"u{u}\ti{r}\t4\t{880000000 + r}\n" for u in range(3) for r in range(2)]
    (raw / "ml-100k.inter").write_text(HEADER + "".join(rows))
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}: the valid window (80-90 %")
    assert not (tmp_path / "run").exists()


def test_user_with_a_single_row(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    with (raw / "ml-100k.inter").open("a") as file:
        file.write("lonely\ti0\t5\t880000000\n")
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}:1202 (column user): user 'lonely'")
    assert "data.drop_short_users=true" in error
    assert not (tmp_path / "run").exists()
    assert prepare(invoke, raw, tmp_path / "run", "--set", "data.drop_short_users=true").code == 0


def test_a_failed_preparation_leaves_the_earlier_one(
    invoke: Invoke, prepared: Path, raw: Path
) -> None:
    before = contents(prepared)
    edit_line(raw, 4, "u3\ti7")
    assert prepare(invoke, raw, prepared).lone_error
    assert contents(prepared) == before

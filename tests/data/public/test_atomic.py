"""Errors that only atomic files can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.public.atomic import read_atomic

_HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "w.inter").write_text(
        f"{_HEADER}\nann\tpen\t3\t8.8e8\nbob\tpen\t4.5\t881250950.0\n"
    )
    return tmp_path


def test_descriptions_are_optional(folder: Path) -> None:
    table = read_atomic(folder, "w")
    assert list(table.interactions["timestamp"]) == [880_000_000, 881_250_950]
    assert table.users.shape == (0, 0)
    assert table.items.shape == (0, 0)
    assert table.user_features == table.item_features == ()


def test_columns_are_recognised_by_name_in_any_order(folder: Path) -> None:
    text = "x:float_seq\trating:float\titem_id:token\ttimestamp:float\tuser_id:token\n"
    (folder / "w.inter").write_text(text + "1 2\t3\tpen\t7\tann\n")
    (folder / "w.user").write_text("gender:token\tuser_id:token\nF\tann\n")
    (folder / "w.item").write_text(
        "genre:token\titem_id:token\ttitle:token_seq\nTop Ten\tpen\tA pen\n"
    )
    table = read_atomic(folder, "w")
    row = table.interactions.iloc[0]
    assert row.to_dict() == {"user": "ann", "item": "pen", "rating": 3.0, "timestamp": 7, "line": 2}
    assert table.users.loc["ann"].to_dict() == {"gender": "F"}
    assert [feature.name for feature in table.user_features] == ["gender"]
    item = table.items.loc["pen"].to_dict()
    assert item == {"title": "A pen", "release_year": "", "genres": ("Top Ten",)}
    assert [feature.name for feature in table.item_features] == ["genres", "release_year"]


@pytest.mark.parametrize(
    ("title", "year", "expected"),
    [("Toy Story", "1995", "1995"), ("Land (1995)", "V", "1995"), ("unkonwn", "unkonwn", "")],
)
def test_release_year(folder: Path, title: str, year: str, expected: str) -> None:
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"
    (folder / "w.item").write_text(f"{header}\npen\t{title}\t{year}\tDrama War\n")
    item = read_atomic(folder, "w").items.loc["pen"]
    assert (item["release_year"], item["genres"]) == (expected, ("Drama", "War"))


@pytest.mark.parametrize(
    ("old", "new", "where", "problem"),
    [
        ("rating:float", "rating:flaot", " (column rating)", "'flaot'; did you mean 'float'?"),
        ("rating:float", "rating", "", "'rating' in the header is not name:type"),
        ("rating:float", "rating:token", " (column rating)", "declared as 'token'"),
        ("rating:float", "stars:float", " (column rating)", "the header has no rating:float"),
        ("rating:float", "user_id:token", " (column user_id)", "'user_id' is given twice"),
        ("user_id:token", "\udcff:token", "", "byte 0xff in"),
    ],
)
def test_bad_header(folder: Path, old: str, new: str, where: str, problem: str) -> None:
    path = folder / "w.inter"
    path.write_text(_HEADER.replace(old, new) + "\nann\tpen\t3\t7\n", errors="surrogateescape")
    with pytest.raises(DataError) as error:
        read_atomic(folder, "w")
    assert str(error.value).startswith(f"{path}:1{where}: ")
    assert problem in str(error.value)


def test_header_alone(folder: Path) -> None:
    path = folder / "w.inter"
    path.write_text(_HEADER + "\n")
    with pytest.raises(DataError, match="contains no records"):
        list(read_atomic(folder, "w").read())


@pytest.mark.parametrize("column", ["rating", "timestamp"])
def test_what_every_interaction_needs(folder: Path, column: str) -> None:
    path = folder / "w.inter"
    names = [name for name in _HEADER.split("\t") if not name.startswith(column)]
    path.write_text("\t".join(names) + "\nann\tpen\t3\n")
    with pytest.raises(DataError) as error:
        read_atomic(folder, "w")
    expected = f"{path}:1 (column {column}): the header has no {column}:float; add it (it has "
    assert str(error.value).startswith(expected)

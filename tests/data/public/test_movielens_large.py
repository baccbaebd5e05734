"""Errors that only the official files since MovieLens-10M can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.interactions import InteractionTable
from metaselector.data.public.movielens_large import read_movielens_10m, read_movielens_csv

HEADER = "userId,movieId,rating,timestamp\n"
ITEM_HEADER = "movieId,title,genres\n"


@pytest.fixture
def folder_10m(tmp_path: Path) -> Path:
    (tmp_path / "ratings.dat").write_text("1::10::3.5::978300760\n1::10::5::978300761\n")
    (tmp_path / "movies.dat").write_text("10::Kolya (1996)::Comedy\n")
    return tmp_path


@pytest.fixture
def folder_csv(tmp_path: Path) -> Path:
    (tmp_path / "ratings.csv").write_text(HEADER + "1,10,3.5,978300760\n1,10,5.0,978300761\n")
    (tmp_path / "movies.csv").write_text(ITEM_HEADER + "10,Kolya (1996),Comedy\n")
    return tmp_path


def read_csv(folder: Path) -> InteractionTable:
    return read_movielens_csv(folder, "movielens-25m")


@pytest.mark.parametrize(
    ("genres", "expected"),
    [
        ("Children|IMAX", ("Children", "IMAX")),
        ("Children's", ("Children's",)),
        ("(no genres listed)", ()),
    ],
)
def test_genres(folder_10m: Path, genres: str, expected: tuple[str, ...]) -> None:
    (folder_10m / "movies.dat").write_text(f"10::Kolya (1996)::{genres}\n")
    item = read_movielens_10m(folder_10m).items.loc["10"]
    assert (item["release_year"], item["genres"]) == ("1996", expected)


@pytest.mark.parametrize("rating", ["0", "0.0", "-1", "5.5", "3.7"])
def test_ratings_are_half_stars(folder_10m: Path, folder_csv: Path, rating: str) -> None:
    (folder_10m / "ratings.dat").write_text(f"1::10::3.5::7\n1::10::{rating}::8\n1::10::9::9\n")
    (folder_csv / "ratings.csv").write_text(f"{HEADER}1,10,3.5,7\n1,10,{rating},8\n1,10,9,9\n")
    for read, name, line in ((read_movielens_10m, "dat", 2), (read_csv, "csv", 3)):
        with pytest.raises(DataError) as error:
            list(read(folder_10m).read())
        shown = f"{float(rating):g} is not a rating in half stars, 0.5 to 5"
        where = f"{folder_10m}/ratings.{name}:{line} (column rating): "
        assert str(error.value) == f"{where}{shown}; correct or remove the line"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("ratings.csv", "1,10,3.5,978300760"),
        ("ratings.csv", "userId,movieId,rating"),
        ("ratings.csv", "userId,userId,rating,timestamp"),
        ("ratings.csv", "userId;movieId;rating;timestamp"),
        ("movies.csv", "movieId,genres,title"),
    ],
)
def test_header(folder_csv: Path, name: str, header: str) -> None:
    path = folder_csv / name
    path.write_text("\n".join([header, *path.read_text().splitlines()[1:]]) + "\n")
    with pytest.raises(DataError) as error:
        read_csv(folder_csv)
    assert str(error.value).startswith(f"{path}:1: the header is '{header}', not '")
    assert str(error.value).endswith("use the official file")


def test_quoted_titles(folder_csv: Path) -> None:
    title = '"Misérables, Les (1995) ""x"""'
    (folder_csv / "movies.csv").write_text(f"{ITEM_HEADER}10,{title},Drama\n11,A,Drama|War\n")
    items = read_csv(folder_csv).items
    assert items["title"].to_dict() == {"10": 'Misérables, Les (1995) "x"', "11": "A"}


@pytest.mark.parametrize(
    ("line", "where", "shown"),
    [
        ('11,"A,Drama', "", "is not CSV"),
        ('11,"A"b,Drama', "", "is not CSV"),
        ("11,A, B,Drama", " (column genres)", "has 4 instead of 3 columns separated by ','"),
        ("11,A,Western|Dramma", " (column genres)", "unknown genre 'Dramma'; did you mean 'Drama'"),
        (",A,Drama", " (column item)", "'' is empty"),
        ("11,\udcff,Drama", " (column title)", "byte 0xff in '\ufffd' is not utf-8 text"),
    ],
)
def test_bad_item(folder_csv: Path, line: str, where: str, shown: str) -> None:
    path = folder_csv / "movies.csv"
    text = f"{ITEM_HEADER}{line}\n12,A,Drama\n"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError) as error:
        read_csv(folder_csv)
    assert str(error.value).startswith(f"{path}:2{where}: ")
    assert shown in str(error.value)


def test_missing_movies(folder_csv: Path) -> None:
    (folder_csv / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"movies\.csv: file not found"):
        read_csv(folder_csv)

"""Errors that only the official MovieLens files can have."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.public.movielens import GENRES_100K, read_movielens_1m, read_movielens_100k

_COMEDY = "|".join(str(int(genre == "Comedy")) for genre in GENRES_100K)


@pytest.fixture
def folder_100k(tmp_path: Path) -> Path:
    (tmp_path / "u.data").write_text("1\t10\t3\t881250949\n")
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n")
    (tmp_path / "u.item").write_text(f"10|Kolya (1996)|24-Jan-1997||url|{_COMEDY}\n")
    return tmp_path


@pytest.fixture
def folder_1m(tmp_path: Path) -> Path:
    (tmp_path / "ratings.dat").write_text("1::10::3::978300760\n")
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    (tmp_path / "movies.dat").write_text("10::Kolya (1996)::Comedy\n")
    return tmp_path


@pytest.mark.parametrize(
    ("title", "date", "year"),
    [
        ("Kolya (1996)", "24-Jan-1997", "1996"),
        ("Land Before Time III (1995) (V)", "", "1995"),
        ("Good Morning", "4-Feb-1971", "1971"),
        ("unknown", "", ""),
    ],
)
def test_release_year(folder_100k: Path, title: str, date: str, year: str) -> None:
    (folder_100k / "u.item").write_text(f"10|{title}|{date}||url|{_COMEDY}\n")
    items = read_movielens_100k(folder_100k).items
    assert items.loc["10"].to_dict() == {
        "title": title,
        "release_year": year,
        "genres": ("Comedy",),
    }


def test_genre_file_gives_the_order_of_the_flags(folder_100k: Path) -> None:
    names = list(reversed(GENRES_100K))
    text = "".join(f"{genre}|{position}\n" for position, genre in enumerate(names))
    (folder_100k / "u.genre").write_text(text + "\n")
    items = read_movielens_100k(folder_100k).items
    assert items["genres"]["10"] == (names[GENRES_100K.index("Comedy")],)


@pytest.mark.parametrize(
    ("old", "new", "column", "shown"),
    [
        ("|1|", "|2|", "Comedy", "'2' is not a genre flag"),
        ("Kolya (1996)|24-Jan-1997", "Kolya|1997", "release date", "'1997' is not a date"),
    ],
)
def test_bad_item(folder_100k: Path, old: str, new: str, column: str, shown: str) -> None:
    path = folder_100k / "u.item"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError) as error:
        read_movielens_100k(folder_100k)
    assert str(error.value).startswith(f"{path}:1 (column {column}): {shown}")


def test_misspelt_genre_in_genre_file(folder_100k: Path) -> None:
    path = folder_100k / "u.genre"
    path.write_text("unknown|0\nSciFi|1\n")
    with pytest.raises(DataError) as error:
        read_movielens_100k(folder_100k)
    expected = f"{path}:2 (column genres): unknown genre 'SciFi'; did you mean 'Sci-Fi'?"
    assert str(error.value) == expected


def test_misspelt_genre_in_movies(folder_1m: Path) -> None:
    path = folder_1m / "movies.dat"
    path.write_text("10::Kolya (1996)::Comedy\n11::Toy Story (1995)::Comedy|Childrens\n")
    with pytest.raises(DataError) as error:
        read_movielens_1m(folder_1m)
    expected = f"{path}:2 (column genres): unknown genre 'Childrens'; did you mean 'Children's'?"
    assert str(error.value) == expected


def test_latin_1_titles(folder_1m: Path) -> None:
    (folder_1m / "movies.dat").write_bytes("10::Misérables, Les::\n".encode("latin-1"))
    item = read_movielens_1m(folder_1m).items.loc["10"]
    assert (item["title"], item["release_year"], item["genres"]) == ("Misérables, Les", "", ())


@pytest.mark.parametrize("rating", ["0", "6", "-3", "3.5"])
def test_ratings_are_whole_stars(folder_100k: Path, folder_1m: Path, rating: str) -> None:
    (folder_100k / "u.data").write_text(f"1\t10\t3\t7\n1\t10\t{rating}\t8\n")
    (folder_1m / "ratings.dat").write_text(f"1::10::3::7\n1::10::{rating}::8\n")
    for read, name in ((read_movielens_100k, "u.data"), (read_movielens_1m, "ratings.dat")):
        with pytest.raises(DataError) as error:
            list(read(folder_1m).read())
        shown = f"{rating} is not a rating in whole stars, 1 to 5; correct or remove the line"
        assert str(error.value) == f"{folder_1m / name}:2 (column rating): {shown}"


@pytest.mark.parametrize("name", ["users.dat", "movies.dat"])
def test_missing_description(folder_1m: Path, name: str) -> None:
    (folder_1m / name).unlink()
    with pytest.raises(DataError) as error:
        read_movielens_1m(folder_1m)
    assert str(error.value).startswith(f"{folder_1m / name}: file not found")

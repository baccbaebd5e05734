"""The same tiny world in every format of films' ratings."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from metaselector.data.interactions import InteractionTable
from metaselector.data.public.atomic import read_atomic
from metaselector.data.public.movielens import GENRES_100K, read_movielens_1m, read_movielens_100k
from metaselector.data.public.movielens_large import read_movielens_10m, read_movielens_csv
from metaselector.data.public.movietweetings import read_movietweetings

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


COLUMNS = ("user", "item", "rating", "timestamp")

_THEIRS = ("user_id", "item_id", "rating", "timestamp")

FORMATS = {
    "100k": Format(
        write_100k, read_movielens_100k, ("u.data", "u.user", "u.item"), "\t", 0, COLUMNS
    ),
    "1m": Format(
        write_1m, read_movielens_1m, ("ratings.dat", "users.dat", "movies.dat"), "::", 0, COLUMNS
    ),
    "10m": Format(write_10m, read_movielens_10m, ("ratings.dat", "movies.dat"), "::", 0, COLUMNS),
    "tweetings": Format(  # written like MovieLens-10M
        write_10m, read_movietweetings, ("ratings.dat", "movies.dat"), "::", 0, COLUMNS
    ),
    "20m": Format(
        write_csv,
        partial(read_movielens_csv, name="movielens-20m"),
        ("ratings.csv", "movies.csv"),
        ",",
        1,
        COLUMNS,
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


def read_all(format_: Format, directory: Path) -> InteractionTable:
    """Read the table, and everything that it reads lazily."""
    table = format_.read(directory)
    assert len(table.items.columns) == 3
    return table

"""MovieLens-100K and MovieLens-1M in the format of GroupLens' own files.

Source: F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS
5(4), 2015; formats as in the README of each data set.

The release year is the one in the title, as in RecBole's conversion of the same data, so that both
formats give the same features. It is the year the film was made; the release date of MovieLens-100K
(which is often that of the United States) is used where a title names no year.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from metaselector.data.interactions import InteractionTable
from metaselector.data.tabular import Layout, index_by, read_table
from metaselector.data.values import Column
from metaselector.errors import DataError, nearest

GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""Order of the flags in ``u.item``; MovieLens-1M uses the same names."""

FILES_100K = ("u.data", "u.user", "u.item")
FILES_1M = ("ratings.dat", "users.dat", "movies.dat")

RATING_COLUMNS = (
    Column("user", "key"),
    Column("item", "key"),
    Column("rating", "number"),
    Column("timestamp", "seconds"),
)
_TITLE_YEAR = re.compile(r"\(([0-9]{4})\)")
_RELEASE_DATE = re.compile(r"[0-9]{1,2}-[A-Z][a-z]{2}-([0-9]{4})")


def read_movielens_100k(directory: Path) -> InteractionTable:
    """Read ``u.data``, ``u.user`` and ``u.item`` (and ``u.genre``, if it is there).

    Args:
        directory: the folder that holds them, or one with the folder ``ml-100k`` in it.

    Raises:
        DataError: a file is missing or a line of it is wrong.
    """
    folder = folder_of(directory, "ml-100k", FILES_100K[0])
    source, user_path, item_path = (folder / file for file in FILES_100K)
    interactions = read_table(source, Layout(RATING_COLUMNS))
    user_columns = (Column("user", "key"), *map(Column, ("age", "gender", "occupation", "zip")))
    users = index_by(read_table(user_path, Layout(user_columns, "|")), "user", user_path)
    items = _items_100k(item_path, _genre_order(folder / "u.genre"))
    return InteractionTable(
        name="movielens-100k",
        source=source,
        interactions=interactions,
        users=users[["age", "gender", "occupation"]],
        items=index_by(items, "item", item_path),
    )


def read_movielens_1m(directory: Path) -> InteractionTable:
    """Read ``ratings.dat``, ``users.dat`` and ``movies.dat``; age and occupation are codes.

    Args:
        directory: the folder that holds them, or one with the folder ``ml-1m`` in it.

    Raises:
        DataError: a file is missing or a line of it is wrong.
    """
    folder = folder_of(directory, "ml-1m", FILES_1M[0])
    source, user_path, item_path = (folder / file for file in FILES_1M)
    interactions = read_table(source, Layout(RATING_COLUMNS, "::"))
    user_columns = (Column("user", "key"), *map(Column, ("gender", "age", "occupation", "zip")))
    users = index_by(read_table(user_path, Layout(user_columns, "::")), "user", user_path)
    item_columns = (Column("item", "key"), Column("title"), Column("genres"))
    items = read_table(item_path, Layout(item_columns, "::", "latin-1"))
    genres = [tuple(filter(None, entry.split("|"))) for entry in items["genres"]]
    check_genres(item_path, items["line"], genres, GENRES_100K)
    items = items.assign(
        release_year=[year_in_title(title) for title in items["title"]],
        genres=pd.Series(genres, dtype=object),
    )
    return InteractionTable(
        name="movielens-1m",
        source=source,
        interactions=interactions,
        users=users[["age", "gender", "occupation"]],
        items=index_by(items, "item", item_path)[["title", "release_year", "genres"]],
    )


def year_in_title(title: str) -> str:
    """``"1995"`` of ``"Toy Story (1995)"``, the last one of several; empty where there is none."""
    years = _TITLE_YEAR.findall(title)
    return years[-1] if years else ""


def folder_of(directory: Path, name: str, ratings: str) -> Path:
    """`directory`, or the official sub-folder `name` of it where only that holds the ratings."""
    inner = directory / name
    return inner if not (directory / ratings).exists() and inner.is_dir() else directory


def _genre_order(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return GENRES_100K
    order = read_table(path, Layout((Column("genres", "key"), Column("position", "number")), "|"))
    check_genres(path, order["line"], [(genre,) for genre in order["genres"]], GENRES_100K)
    return tuple(order.sort_values("position")["genres"])


def _items_100k(path: Path, genres: tuple[str, ...]) -> pd.DataFrame:
    words = ("title", "release date", "video date", "url", *genres)
    layout = Layout((Column("item", "key"), *map(Column, words)), "|", "latin-1")
    frame = read_table(path, layout)
    for genre in genres:
        for line, flag in zip(frame["line"], frame[genre], strict=True):
            if flag not in ("0", "1"):
                problem = f"'{flag}' is not a genre flag; write 0 or 1"
                raise DataError(path, problem, line=int(line), column=genre)
    flags = frame[list(genres)].to_numpy() == "1"
    chosen = [tuple(itertools.compress(genres, row)) for row in flags]
    dated = zip(frame["line"], frame["title"], frame["release date"], strict=True)
    years = [
        year_in_title(title) or _release_year(path, int(line), date) for line, title, date in dated
    ]
    items = frame[["line", "item", "title"]]
    return items.assign(release_year=years, genres=pd.Series(chosen, dtype=object))


def _release_year(path: Path, line: int, date: str) -> str:
    if not date:
        return ""
    match = _RELEASE_DATE.fullmatch(date)
    if match is None:
        problem = f"'{date}' is not a date such as 01-Jan-1995; correct it or leave it empty"
        raise DataError(path, problem, line=line, column="release date")
    return match[1]


def check_genres(
    path: Path, lines: Iterable[int], genres: Iterable[Iterable[str]], known: Iterable[str]
) -> None:
    """Raise :class:`DataError` for the first line whose genres are not all `known`."""
    names = frozenset(known)
    for line, entry in zip(lines, genres, strict=True):
        for genre in entry:
            if genre not in names:
                problem = f"unknown genre '{genre}', {nearest(genre, names)}"
                raise DataError(path, problem, line=int(line), column="genres")

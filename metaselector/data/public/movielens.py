"""Read MovieLens-100K and MovieLens-1M from GroupLens' official files.

Source: F. M. Harper and J. A. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS
5(4), 2015; formats as in the README of each data set.

The release year is taken from the title, as in RecBole's conversion of the same data, so both
formats give the same features. It is the year in which the film was made. MovieLens-100K's release
date, often that of the United States, is used only if the title has no year.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from metaselector.common.errors import DataError, nearest
from metaselector.data.interactions import Feature, Interactions, InteractionTable
from metaselector.data.public.movielens_copies import origin_of
from metaselector.data.raw.tabular import TextLayout, index_by, read_rows, read_table
from metaselector.data.raw.values import Column

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
ITEM_COLUMNS = (Column("item", "key"), Column("title"), Column("genres"))
USER_FEATURES = (Feature("age"), Feature("gender"), Feature("occupation"))
ITEM_FEATURES = (Feature("genres", "multivalued", profile=True), Feature("release_year"))
_TITLE_YEAR = re.compile(r"\(([0-9]{4})\)")
_RELEASE_DATE = re.compile(r"[0-9]{1,2}-[A-Z][a-z]{2}-([0-9]{4})")


class Scale(NamedTuple):
    """Allowed ratings: from the lowest to the highest in steps, and what they are called."""

    low: float
    high: float
    step: float
    what: str


WHOLE_STARS, HALF_STARS = Scale(1, 5, 1, "whole stars"), Scale(0.5, 5, 0.5, "half stars")


def read_movielens_100k(directory: Path) -> InteractionTable:
    """Read ``u.data``, ``u.user``, ``u.item`` and, if present, ``u.genre``.

    Args:
        directory: the folder of these files, or one that contains it as ``ml-100k``.

    Raises:
        DataError: a file is missing or a line is wrong; ratings are checked as they are read.
    """
    source, user_path, item_path = _paths(directory, "ml-100k", FILES_100K)
    users = _users(user_path, ("age", "gender", "occupation", "zip"), "|")
    genres = _genre_order(item_path.with_name("u.genre"))
    items = index_by(_items_100k(item_path, genres), "item", item_path)
    return _table("movielens-100k", source, TextLayout(RATING_COLUMNS), users, items)


def read_movielens_1m(directory: Path) -> InteractionTable:
    """Read ``ratings.dat``, ``users.dat`` and ``movies.dat``; age and occupation are codes.

    The table's ``origin`` tells GroupLens' file from other copies.

    Args:
        directory: the folder of these files, or one that contains it as ``ml-1m``.

    Raises:
        DataError: a file is missing or a line is wrong; ratings are checked as they are read.
    """
    source, user_path, item_path = _paths(directory, "ml-1m", FILES_1M)
    users = _users(user_path, ("gender", "age", "occupation", "zip"), "::")
    items = described(item_path, TextLayout(ITEM_COLUMNS, "::", "latin-1"), GENRES_100K)
    table = _table("movielens-1m", source, TextLayout(RATING_COLUMNS, "::"), users, items)
    return replace(table, origin=origin_of(source))


def _paths(directory: Path, name: str, files: tuple[str, ...]) -> Iterator[Path]:
    folder = folder_of(directory, name, files[0])
    return (folder / file for file in files)


def _users(path: Path, columns: tuple[str, ...], separator: str) -> pd.DataFrame:
    layout = TextLayout((Column("user", "key"), *map(Column, columns)), separator)
    return index_by(read_table(path, layout), "user", path)


def _table(
    name: str, source: Path, layout: TextLayout, users: pd.DataFrame, items: pd.DataFrame
) -> InteractionTable:
    return InteractionTable(
        name=name,
        source=source,
        read=partial(read_ratings, source, layout, WHOLE_STARS),
        users=users[["age", "gender", "occupation"]],
        describe_items=lambda names: items,
        user_features=USER_FEATURES,
        item_features=ITEM_FEATURES,
    )


def read_ratings(path: Path, layout: TextLayout, scale: Scale) -> Iterator[Interactions]:
    """Read a file with the :data:`RATING_COLUMNS`.

    Args:
        path: the file.
        layout: its columns and format.
        scale: the ratings that are allowed.

    Raises:
        DataError: as :func:`read_rows`, or a rating is not on the scale.
    """
    low, high, step, what = scale
    expected = f"a rating in {what}, {low:g} to {high:g}"
    for records in read_rows(path, layout):
        ratings = records.numbers("rating")
        right = (ratings >= low) & (ratings <= high) & (ratings % step == 0)
        records.require(right, path, "rating", expected)
        yield records.interactions("user", "item", "rating", records.times("timestamp"))


def described(path: Path, layout: TextLayout, genres: Iterable[str] | None) -> pd.DataFrame:
    """Read a file of items with titles and genres, which must be among `genres` unless None."""
    items = read_table(path, layout)
    listed = [tuple(filter(None, entry.split("|"))) for entry in items["genres"]]
    if genres is not None:
        check_genres(path, items["line"], listed, genres)
    items = items.assign(
        release_year=[year_in_title(title) for title in items["title"]],
        genres=pd.Series(listed, dtype=object),
    )
    return index_by(items, "item", path)[["title", "release_year", "genres"]]


def year_in_title(title: str) -> str:
    """The last year in a title, such as ``"1995"`` in ``"Toy Story (1995)"``; empty if none."""
    years = _TITLE_YEAR.findall(title)
    return years[-1] if years else ""


def folder_of(directory: Path, name: str, ratings: str) -> Path:
    """`directory`, or its official sub-folder `name` if only that contains the ratings."""
    inner = directory / name
    return inner if not (directory / ratings).exists() and inner.is_dir() else directory


def _genre_order(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return GENRES_100K
    order = read_table(
        path, TextLayout((Column("genres", "key"), Column("position", "number")), "|")
    )
    check_genres(path, order["line"], [(genre,) for genre in order["genres"]], GENRES_100K)
    return tuple(order.sort_values("position")["genres"])


def _items_100k(path: Path, genres: tuple[str, ...]) -> pd.DataFrame:
    words = ("title", "release date", "video date", "url", *genres)
    layout = TextLayout((Column("item", "key"), *map(Column, words)), "|", "latin-1")
    frame = read_table(path, layout)
    for genre in genres:
        for line, flag in zip(frame["line"], frame[genre], strict=True):
            if flag not in ("0", "1"):
                problem = f"'{flag}' is not a genre flag; use 0 or 1"
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
        problem = f"'{date}' is not a date such as 01-Jan-1995; correct it, or leave it empty"
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
                problem = f"unknown genre '{genre}'; {nearest(genre, names)}"
                raise DataError(path, problem, line=int(line), column="genres")

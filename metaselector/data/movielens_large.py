"""MovieLens-10M, 20M, 25M and 32M in the format of GroupLens' own files.

Nothing is known of their users. Ratings are in half stars. MovieLens-10M separates columns by
``::``, the later ones are CSV with a header. Source as in :mod:`metaselector.data.movielens`;
formats as in the README of each data set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.data.interactions import InteractionTable, nothing_known
from metaselector.data.movielens import (
    GENRES_100K,
    RATING_COLUMNS,
    check_genres,
    folder_of,
    year_in_title,
)
from metaselector.data.tabular import Layout, first_line, index_by, read_table
from metaselector.data.values import Column
from metaselector.errors import DataError

FILES_10M = ("ratings.dat", "movies.dat")
FILES_CSV = ("ratings.csv", "movies.csv")

NO_GENRE = "(no genres listed)"
GENRES = (*GENRES_100K, "Children", "IMAX", NO_GENRE)
"""What the files write since MovieLens-10M: ``Children`` for ``Children's``, which is read too."""

_ITEM_COLUMNS = (Column("item", "key"), Column("title"), Column("genres"))
_RATINGS_HEADER = "userId,movieId,rating,timestamp"
_ITEMS_HEADER = "movieId,title,genres"
_BEST = 5.0


def read_movielens_10m(directory: Path) -> InteractionTable:
    """Read ``ratings.dat`` and ``movies.dat``.

    Args:
        directory: the folder that holds them, or one with the folder ``ml-10M100K`` in it.

    Raises:
        DataError: a file is missing or a line of it is wrong.
    """
    folder = folder_of(directory, "ml-10M100K", FILES_10M[0])
    source, item_path = (folder / file for file in FILES_10M)
    return _table(
        "movielens-10m",
        source,
        read_table(source, Layout(RATING_COLUMNS, "::")),
        item_path,
        read_table(item_path, Layout(_ITEM_COLUMNS, "::")),
    )


def read_movielens_csv(directory: Path, name: str) -> InteractionTable:
    """Read ``ratings.csv`` and ``movies.csv``.

    Args:
        directory: the folder that holds them, or one with the official folder in it.
        name: ``"movielens-20m"``, ``"movielens-25m"`` or ``"movielens-32m"``.

    Raises:
        DataError: a file is missing, its header is not the official one, or a line is wrong.
    """
    folder = folder_of(directory, name.replace("movielens", "ml"), FILES_CSV[0])
    source, item_path = (folder / file for file in FILES_CSV)
    _check_header(source, _RATINGS_HEADER)
    ratings = read_table(source, Layout(RATING_COLUMNS, ",", header_lines=1))
    _check_header(item_path, _ITEMS_HEADER)
    items = read_table(item_path, Layout(_ITEM_COLUMNS, ",", header_lines=1, quoted=True))
    return _table(name, source, ratings, item_path, items)


def _table(
    name: str, source: Path, ratings: pd.DataFrame, item_path: Path, items: pd.DataFrame
) -> InteractionTable:
    _check_half_stars(source, ratings)
    listed = [tuple(filter(None, entry.split("|"))) for entry in items["genres"]]
    check_genres(item_path, items["line"], listed, GENRES)
    genres = [tuple(genre for genre in entry if genre != NO_GENRE) for entry in listed]
    items = items.assign(
        release_year=[year_in_title(title) for title in items["title"]],
        genres=pd.Series(genres, dtype=object),
    )
    return InteractionTable(
        name=name,
        source=source,
        interactions=ratings,
        users=nothing_known("user"),
        items=index_by(items, "item", item_path)[["title", "release_year", "genres"]],
    )


def _check_header(path: Path, expected: str) -> None:
    found = first_line(path)
    if found != expected:
        problem = f"the header is {found[:80]!r}, not '{expected}'; bring the official file"
        raise DataError(path, problem, line=1)


def _check_half_stars(path: Path, ratings: pd.DataFrame) -> None:
    halves = ratings["rating"].to_numpy() * 2
    wrong = np.flatnonzero((halves < 1) | (halves > 2 * _BEST) | (halves != np.floor(halves)))
    if len(wrong):
        row = ratings.iloc[wrong[0]]
        problem = f"{row['rating']:g} is not a rating in half stars, 0.5 to 5 ({len(wrong)} such)"
        raise DataError(
            path, f"{problem}; correct or remove the line", line=int(row["line"]), column="rating"
        )

"""Read MovieLens-10M, 20M, 25M and 32M from GroupLens' official files.

They have no user features, and ratings are in half stars. MovieLens-10M separates columns by
``::``; the later ones are CSV with a header. See :mod:`metaselector.data.public.movielens` for the
source, and the README of each data set for its format.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.interactions import InteractionTable, nothing_known
from metaselector.data.public.movielens import (
    GENRES_100K,
    HALF_STARS,
    ITEM_COLUMNS,
    ITEM_FEATURES,
    RATING_COLUMNS,
    described,
    folder_of,
    read_ratings,
)
from metaselector.data.raw.tabular import TextLayout, first_line

FILES_10M = ("ratings.dat", "movies.dat")
FILES_CSV = ("ratings.csv", "movies.csv")

NO_GENRE = "(no genres listed)"
GENRES = (*GENRES_100K, "Children", "IMAX", NO_GENRE)
"""Genres since MovieLens-10M, which write ``Children`` for ``Children's``; both are read."""

_RATINGS_HEADER = "userId,movieId,rating,timestamp"
_ITEMS_HEADER = "movieId,title,genres"


def read_movielens_10m(directory: Path) -> InteractionTable:
    """Read ``ratings.dat`` and ``movies.dat``.

    Args:
        directory: the folder of these files, or one that contains it as ``ml-10M100K``.

    Raises:
        DataError: a file is missing or a line is wrong; ratings are checked as they are read.
    """
    folder = folder_of(directory, "ml-10M100K", FILES_10M[0])
    source, item_path = (folder / file for file in FILES_10M)
    ratings, items = TextLayout(RATING_COLUMNS, "::"), TextLayout(ITEM_COLUMNS, "::")
    return _table("movielens-10m", source, ratings, item_path, items)


def read_movielens_csv(directory: Path, name: str) -> InteractionTable:
    """Read ``ratings.csv`` and ``movies.csv``.

    Args:
        directory: the folder of these files, or one that contains the official folder.
        name: ``"movielens-20m"``, ``"movielens-25m"`` or ``"movielens-32m"``.

    Raises:
        DataError: a file is missing, its header is not the official one, or a line is wrong;
            ratings are checked as they are read.
    """
    folder = folder_of(directory, name.replace("movielens", "ml"), FILES_CSV[0])
    source, item_path = (folder / file for file in FILES_CSV)
    _check_header(source, _RATINGS_HEADER)
    _check_header(item_path, _ITEMS_HEADER)
    ratings = TextLayout(RATING_COLUMNS, ",", header_lines=1)
    items = TextLayout(ITEM_COLUMNS, ",", header_lines=1, quoted=True)
    return _table(name, source, ratings, item_path, items)


def _table(
    name: str, source: Path, ratings: TextLayout, item_path: Path, items: TextLayout
) -> InteractionTable:
    frame = described(item_path, items, GENRES)
    frame["genres"] = frame["genres"].map(lambda found: tuple(g for g in found if g != NO_GENRE))
    return InteractionTable(
        name=name,
        source=source,
        read=partial(read_ratings, source, ratings, HALF_STARS),
        users=nothing_known("user"),
        describe_items=lambda names: frame,
        item_features=ITEM_FEATURES,
    )


def _check_header(path: Path, expected: str) -> None:
    found = first_line(path)
    if found != expected:
        problem = f"the header is {found[:80]!r}, not '{expected}'; use the official file"
        raise DataError(path, problem, line=1)

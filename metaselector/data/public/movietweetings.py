"""Read MovieTweetings from its official files.

Its ratings, 0 to 10, were tweeted by users of IMDb's apps. Item ids are IMDb's, text with leading
zeros. ``users.dat`` is not read: it only links users to their Twitter accounts.

Source: S. Dooms, T. De Pessemier and L. Martens, "MovieTweetings: a Movie Rating Dataset Collected
From Twitter", CrowdRec at RecSys 2013; https://github.com/sidooms/MovieTweetings.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from metaselector.data.interactions import InteractionTable, nothing_known
from metaselector.data.public.movielens import (
    ITEM_COLUMNS,
    ITEM_FEATURES,
    RATING_COLUMNS,
    Scale,
    described,
    folder_of,
    read_ratings,
)
from metaselector.data.raw.tabular import TextLayout

NAME = "movietweetings"
FILES = ("ratings.dat", "movies.dat")
POINTS = Scale(0, 10, 1, "whole points")


def read_movietweetings(directory: Path) -> InteractionTable:
    """Read ``ratings.dat`` and ``movies.dat``; genres are IMDb's, which may be any words.

    Args:
        directory: the folder of these files, or one that contains it as ``movietweetings``.

    Raises:
        DataError: a file is missing or a line is wrong; ratings are checked as they are read.
    """
    folder = folder_of(directory, NAME, FILES[0])
    source, item_path = (folder / file for file in FILES)
    items = described(item_path, TextLayout(ITEM_COLUMNS, "::"), genres=None)
    ratings = TextLayout(RATING_COLUMNS, "::")
    return InteractionTable(
        name=NAME,
        source=source,
        read=partial(read_ratings, source, ratings, POINTS),
        users=nothing_known("user"),
        describe_items=lambda names: items,
        item_features=ITEM_FEATURES,
    )

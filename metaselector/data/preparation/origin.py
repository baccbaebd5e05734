"""What tables must say about prepared data that is not the official copy, if anything."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.common.files import read_json, write_text
from metaselector.data.encoded.digests import MEND, add_digests, check_digests, read_digests
from metaselector.data.interactions import Origin

_FILE = "origin.json"


def save_origin(origin: Origin, directory: Path) -> None:
    """Save `origin` beside the arrays; the identity of the data set does not depend on it."""
    write_text(directory / _FILE, json.dumps(asdict(origin), indent=1) + "\n")
    add_digests(directory, [_FILE])


def load_origin(directory: Path) -> Origin | None:
    """Load the origin; None for official copies, own data, and data prepared by older versions.

    Raises:
        DataError: the file is missing or was changed.
    """
    path = directory / _FILE
    if _FILE not in read_digests(directory) and not path.exists():
        return None
    check_digests(directory, [_FILE])
    try:
        return Origin(**read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(path, f"damaged ({error}); {MEND}") from error

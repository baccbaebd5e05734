"""Find the files of Amazon reviews and of their items' metadata in a directory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.interactions import InteractionTable
from metaselector.data.public.amazon import read_amazon

SUFFIXES = (".json.gz", ".jsonl.gz", ".json", ".jsonl")
_METADATA = "meta_"
_MANIFEST = "manifest.json"  # of what was fetched


@dataclass(frozen=True)
class AmazonFiles:
    """Reviews of a category of the shop, and the metadata of its items if present.

    Attributes:
        category: official name of the category, such as ``"Electronics"``; None for any.
        licence: terms of use, for messages.
    """

    category: str | None
    licence: str

    @property
    def expected(self) -> str:
        """The expected files, for messages."""
        name = self.category or "<category>"
        return f"reviews_{name}_5.json.gz, with meta_{name}.json.gz beside it for categories"

    def read(self, path: Path) -> InteractionTable:
        """Read a file of reviews, or a directory with one and optionally its metadata.

        Raises:
            DataError: there is no file of reviews at `path`, or more than one, or it is wrong.
        """
        if path.is_file():
            return read_amazon(path)
        if not path.is_dir():
            raise DataError(path, f"file or directory not found; expected {self.expected}")
        files = sorted(entry for entry in path.iterdir() if entry.name.endswith(SUFFIXES))
        found = self._reviews(files)
        if len(found) != 1:
            problem = f"no file of reviews found here; expected {self.expected}"
            if found:
                names = ", ".join(file.name for file in found)
                problem = f"contains several files of reviews ({names}); give the path of one"
            raise DataError(path, problem)
        category = _category(found[0])
        metadata = [file for file in files if _stem(file) == _METADATA + category]
        if len(metadata) > 1:
            names = ", ".join(file.name for file in metadata)
            raise DataError(
                path, f"contains several files of metadata ({names}); remove all but one"
            )
        return read_amazon(found[0], *metadata)

    def _reviews(self, files: Iterable[Path]) -> list[Path]:
        return [
            file
            for file in files
            if not file.name.startswith(_METADATA)
            and file.name != _MANIFEST
            and self.category in (None, _category(file))
        ]


def _stem(file: Path) -> str:
    suffix = next(suffix for suffix in SUFFIXES if file.name.endswith(suffix))
    return file.name.removesuffix(suffix)


def _category(file: Path) -> str:
    """The category, ``Electronics`` for ``reviews_Electronics_5.json.gz``."""
    return _stem(file).removeprefix("reviews_").removesuffix("_5")

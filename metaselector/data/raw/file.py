"""Files of rows in any supported format, recognised by name."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from metaselector.common.errors import DataError, nearest
from metaselector.data.raw.columns import Raw, RawBlock
from metaselector.data.raw.csv_blocks import text_blocks
from metaselector.data.raw.csv_lines import text_header
from metaselector.data.raw.json_blocks import json_blocks, json_header
from metaselector.data.raw.lines import COMPRESSED
from metaselector.data.raw.parquet_blocks import parquet_blocks, parquet_header

ATOMIC = (".inter", ".user", ".item")
"""RecBole's atomic files: values are never quoted, and column names end in ``:type``."""
_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","} | dict.fromkeys(ATOMIC, "\t")
JSON = (".jsonl", ".ndjson", ".json")
_KNOWN = (*_TEXT, *JSON, ".parquet")


class RawSource(Protocol):
    """Rows with named columns: files, or the result of a query."""

    @property
    def path(self) -> Path:
        """The file, pattern or query, for messages."""

    @property
    def header(self) -> list[str]:
        """Column names; raises :class:`DataError` if they cannot be read."""

    @property
    def is_text(self) -> bool:
        """Whether the header is the first line of a text file."""

    @property
    def is_typed(self) -> bool:
        """Whether columns have types, which determine the unit of a time."""

    def blocks(self, columns: Mapping[str, Raw]) -> Iterator[RawBlock]:
        """Read some columns of every row, block by block."""


@dataclass(frozen=True)
class RawFile:
    """A file of rows with named columns, or several of one format.

    Attributes:
        path: a text, JSON lines or Parquet file, a folder of such files, or a pattern such as
            ``clicks/*.csv.gz``, in which ``**`` stands for any folders. Files are read in the order
            of their names.
        separator: column separator of a text file; None means a tab in .tsv and atomic files, else
            a comma.
    """

    path: Path
    separator: str | None = None

    @cached_property
    def files(self) -> list[Path]:
        """The files, at least one.

        Raises:
            DataError: there is none, a format is unknown, or they have several.
        """
        if not self.path.exists():
            if not glob.has_magic(str(self.path)):
                raise DataError(self.path, "file not found")
            found = sorted(map(Path, glob.glob(str(self.path), recursive=True)))
            found = [path for path in found if path.is_file()]
            if not found:
                raise DataError(self.path, "no file has such a name; correct the pattern")
        elif self.path.is_dir():
            found = sorted(path for path in self.path.iterdir() if _suffix(path) in _KNOWN)
            parquet = [path for path in found if _suffix(path) == ".parquet"]
            found = parquet or found
            if not found:
                problem = f"the folder contains no files of a known format ({_said()})"
                raise DataError(self.path, f"{problem}; check the path")
        else:
            found = [self.path]
        for path in found:
            if _suffix(path) not in _KNOWN:
                raise DataError(path, f"unknown file format; use {_said()}")
            if _suffix(path) != _suffix(found[0]):
                problem = f"has another format than {found[0].name}; read one format with a pattern"
                raise DataError(path, f"{problem} such as {path.parent / '*'}{_suffix(path)}")
        return found

    @property
    def suffix(self) -> str:
        """``.csv`` of ``clicks.csv.gz``; that of the files of a folder or pattern."""
        known = _suffix(self.path)
        is_one = self.path.is_file() or (known in _KNOWN and not self.path.is_dir())
        return known if is_one else _suffix(self.files[0])

    @property
    def is_text(self) -> bool:
        return self.suffix in _TEXT

    @property
    def is_typed(self) -> bool:
        return self.suffix == ".parquet"

    @property
    def usual_separator(self) -> str:
        """Default separator of a text file with this name."""
        return _TEXT.get(self.suffix, "")

    @cached_property
    def header(self) -> list[str]:
        """Column names of the first file; raises :class:`DataError` if it is missing or wrong."""
        return self._header(self.files[0])

    def _header(self, path: Path) -> list[str]:
        if self.is_text:
            return text_header(path, self._separator, self._quoted)
        return json_header(path) if self.suffix in JSON else parquet_header(path)

    def blocks(self, columns: Mapping[str, Raw]) -> Iterator[RawBlock]:
        """Read some columns block by block; see the reader of each format for the errors."""
        if self.is_typed:
            yield from parquet_blocks(self.files, columns)
            return
        for path in self.files:
            header = self.header if path == self.files[0] else self._header(path)
            if self.is_text:
                _check_same(path, columns, header, self.files[0])
                yield from text_blocks(path, self._separator, columns, quoted=self._quoted)
            else:
                yield from json_blocks(path, columns)

    @property
    def is_atomic(self) -> bool:
        return self.suffix in ATOMIC

    @property
    def _quoted(self) -> bool:
        return not self.is_atomic

    @property
    def _separator(self) -> str:
        return self.separator or self.usual_separator


def require(source: RawSource, columns: Mapping[str, str]) -> None:
    """Raise :class:`DataError` unless the header has all `columns`, given by role."""
    for role, name in columns.items():
        if name not in source.header:
            problem = f"there is no such column, but the schema names it as {role}; "
            line = 1 if source.is_text else None
            raise DataError(
                source.path, problem + nearest(name, source.header), line=line, column=name
            )


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for ending in COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix


def _said() -> str:
    zipped = ", ".join(COMPRESSED)
    return f".csv, .tsv, .txt, .inter, .jsonl (also with {zipped}), .parquet, or a folder of them"


def _check_same(path: Path, columns: Mapping[str, Raw], header: list[str], first: Path) -> None:
    for name in columns:
        if name not in header:
            problem = f"there is no such column, but {first.name} has it; "
            raise DataError(path, problem + nearest(name, header), line=1, column=name)

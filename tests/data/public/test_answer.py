"""Servers that misbehave: wrong headers, too much data, long silence."""

from __future__ import annotations

import gzip
import hashlib
import io
import socketserver
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPMessage
from pathlib import Path

import pytest

from metaselector.common.errors import ConfigError
from metaselector.data.public import answer
from metaselector.data.public.download import VARIABLE, FetchError, download

CONTENT = b"0123456789" * 50
MD5 = hashlib.md5(CONTENT).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 500\r\n"


class RawServer(socketserver.ThreadingTCPServer):
    """Answers whatever `says` makes of the lines of a request, without looking at it twice."""

    daemon_threads, block_on_close = True, False
    says: Callable[[list[bytes]], Iterator[bytes] | bytes]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RawHandler)
        self.asked: list[list[bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.zip"


class RawHandler(socketserver.StreamRequestHandler):
    server: RawServer

    def handle(self) -> None:
        lines = []
        while line := self.rfile.readline().strip():
            lines.append(line)
        self.server.asked.append(lines)
        said = self.server.says(lines)
        try:
            for piece in [said] if isinstance(said, bytes) else said:
                self.wfile.write(piece)
        except OSError:
            pass  # the client has gone


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with RawServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _refused(raw: RawServer, part: Path, message: str, said: bytes, **options: int) -> None:
    raw.says = lambda lines: said
    with pytest.raises(FetchError, match=message) as caught:
        download(raw.url, part, MD5, **options)  # type: ignore[arg-type]
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (OK + b"Content-Length: many\r\n\r\n" + CONTENT, "invalid Content-Length, 'many'"),
        (OK + b"Content-Length: -5\r\n\r\n" + CONTENT, "invalid Content-Length, '-5'"),
        (OK + LENGTH + b"Content-Length: 7\r\n\r\n" + CONTENT, "sends an invalid Content-Length"),
        (OK + b"Content-Length: 7\r\n\r\n" + CONTENT, "has md5"),
        (OK + b"Content-Length: 600\r\n\r\n" + CONTENT, "broke off|cannot be downloaded"),
        (OK + LENGTH + b"Content-Encoding: gzip\r\n\r\n" + CONTENT, "encoded as 'gzip'"),
        (OK + LENGTH + b"Content-Encoding: br\r\n\r\n" + CONTENT, "encoded as 'br'"),
        (b"HTTP/1.1 206 P\r\n" + LENGTH + b"\r\n" + CONTENT, "responds with status 206"),
        (b"HTTP/1.1 204 No\r\n\r\n", "responds with status 204"),
        (b"HTTP/1.1 404 \x1b[31mno\x1b[0m\r\n\r\n", "404"),
        (b"HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\n\r\n", "not allowed|neither http"),
        (b"HTTP/1.1 302 F\r\nLocation: ftp://127.0.0.1/a\r\n\r\n", "neither http nor https"),
        (b"HTTP/1.1 302 F\r\nLocation: http://[::1\r\n\r\n", "cannot be downloaded"),
        (b"HTTP/1.1 302 F\r\nLocation: /file.zip\r\n\r\n", "redirect"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + CONTENT, "cannot be downloaded"),
        (b"SSH-2.0-OpenSSH\r\n", "cannot be downloaded"),
        (b"", "cannot be downloaded"),
    ],
)
def test_odd_answers(raw: RawServer, tmp_path: Path, said: bytes, message: str) -> None:
    _refused(raw, tmp_path / "part", message, said)


@pytest.mark.parametrize("length", [b"", LENGTH])
def test_more_than_a_file_may_have(raw: RawServer, tmp_path: Path, length: bytes) -> None:
    said = OK + length + b"\r\n" + CONTENT
    _refused(raw, tmp_path / "part", "sends more than the limit of about 400 bytes", said, most=400)
    part = tmp_path / "part"
    assert not part.exists() or part.stat().st_size <= 400
    assert len(raw.asked) == 1


def test_chunks(raw: RawServer, tmp_path: Path) -> None:
    head = OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"
    raw.says = lambda lines: head + b"1f4\r\n" + CONTENT + b"\r\n0\r\n\r\n"
    download(raw.url, tmp_path / "part", MD5)
    assert (tmp_path / "part").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "range_", [b"", b"bytes 0-399/500", b"bytes 101-499/500", b"items 100-499/500", b"bytes 100-/"]
)
def test_another_range_begins_anew(raw: RawServer, tmp_path: Path, range_: bytes) -> None:
    def says(lines: list[bytes]) -> bytes:
        if b"Range: bytes=100-" not in lines:
            return OK + LENGTH + b"\r\n" + CONTENT
        head = b"HTTP/1.1 206 P\r\nContent-Range: %s\r\nContent-Length: 400\r\n\r\n" % range_
        return head + CONTENT[100:]

    raw.says = says
    (tmp_path / "part").write_bytes(CONTENT[:100])
    download(raw.url, tmp_path / "part", MD5)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert len(raw.asked) == 2


@pytest.mark.parametrize("range_", [b"bytes 100-499/700", b"bytes 100-450/*"])
def test_a_range_that_contradicts_itself(raw: RawServer, tmp_path: Path, range_: bytes) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:100])
    head = b"HTTP/1.1 206 P\r\nContent-Range: %s\r\nContent-Length: 400\r\n\r\n" % range_
    _refused(raw, tmp_path / "part", "contradict each other", head + CONTENT[100:])


@pytest.mark.parametrize("encoding", [b"gzip", b"x-gzip"])
def test_a_gzip_file_may_be_called_so(raw: RawServer, tmp_path: Path, encoding: bytes) -> None:
    zipped = gzip.compress(CONTENT)
    raw.says = lambda lines: OK + b"Content-Encoding: " + encoding + b"\r\n\r\n" + zipped
    download(raw.url.replace("file.zip", "a.json.gz"), tmp_path / "part", None)
    assert (tmp_path / "part").read_bytes() == zipped


@pytest.mark.parametrize("head", [OK + LENGTH + b"\r\n", b""])
def test_a_server_that_trickles(
    raw: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    def says(lines: list[bytes]) -> Iterator[bytes]:
        yield head
        for at in range(100):
            time.sleep(0.02)
            yield (CONTENT if head else OK + LENGTH)[at : at + 1] or b"x"

    raw.says = says
    monkeypatch.setenv(VARIABLE, "0.3")
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"not complete after 0\.3 s; .*METASELECTOR_FETCH_SEC"):
        download(raw.url, tmp_path / "part", MD5)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_invalid_time_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    monkeypatch.setenv(VARIABLE, seconds)
    with pytest.raises(ConfigError, match=f"METASELECTOR_FETCH_SECONDS='{seconds}' is not a"):
        download("http://127.0.0.1:1/a", tmp_path / "part", MD5)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,x", "a.zip"])
def test_only_http(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="is neither http nor https"):
        download(url, tmp_path / "part", MD5)


@pytest.mark.parametrize(("target", "allowed"), [("https://b/x", True), ("http://b/x", False)])
def test_https_does_not_lead_to_http(target: str, allowed: bool) -> None:
    request = urllib.request.Request("https://a/x")

    def follow() -> urllib.request.Request | None:
        found = answer._Redirects()
        return found.redirect_request(request, io.BytesIO(), 302, "", HTTPMessage(), target)

    if allowed:
        assert follow() is not None
    else:
        with pytest.raises(answer.OddAnswer, match="redirects from https to 'http://b/x'"):
            follow()

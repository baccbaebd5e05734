"""Send one HTTP request, and check what its response announces.

Servers are not trusted: only http and https are followed, never from https to http, and a response
whose headers do not match the request is an error.
"""

from __future__ import annotations

import http.client
import re
import urllib.request
from http.client import HTTPMessage
from typing import IO, Any
from urllib.parse import urlsplit

_SCHEMES = ("http", "https")
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_GZIP = ("gzip", "x-gzip")


class OddAnswer(Exception):
    """A server's response cannot be used; a retry would not help."""


class OtherRange(Exception):
    """The server sends a different part of the file than requested."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        """Close the response if the redirect fails, which the library forgets."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except BaseException:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl, since=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, start: int, timeout: float) -> http.client.HTTPResponse:
    """Request a file, starting at byte `start`.

    Args:
        url: http or https.
        start: first byte.
        timeout: seconds to wait for the server, per operation.

    Raises:
        OddAnswer: an address is neither http nor https, or https redirects to http.
        OSError, http.client.HTTPException, ValueError: the server cannot be reached or refuses.
    """
    _check_scheme(url)
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    opened: http.client.HTTPResponse = urllib.request.build_opener(_Redirects).open(
        request, timeout=timeout
    )
    return opened


def promised(response: http.client.HTTPResponse, url: str, start: int) -> tuple[int, int | None]:
    """Determine the first byte that a response sends, and the size of the whole file.

    Args:
        response: the response.
        url: the requested address.
        start: the requested first byte.

    Returns:
        The first byte, 0 if the server sends the whole file instead, and the size, None if the
        server does not state it.

    Raises:
        OddAnswer: the headers contradict each other, or the file is encoded.
        OtherRange: the response is a different part than requested.
    """
    headers = response.headers
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    # Many servers declare a .gz file as gzip-encoded and send it unchanged.
    if encoding != "identity" and not (encoding in _GZIP and urlsplit(url).path.endswith(".gz")):
        raise OddAnswer(f"the server sends the file encoded as {encoding[:40]!r}")
    length = _length(headers) if not response.chunked else None
    if response.status == http.HTTPStatus.OK:
        return 0, length
    if response.status != http.HTTPStatus.PARTIAL_CONTENT or not start:
        raise OddAnswer(f"the server responds with status {response.status}")
    sent = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if sent is None or int(sent[1]) != start:
        raise OtherRange
    size = int(sent[2]) + 1
    if length not in (None, size - start) or sent[3] not in ("*", str(size)):
        raise OddAnswer("the server's Content-Range and Content-Length contradict each other")
    return start, size


def _length(headers: HTTPMessage) -> int | None:
    found: set[Any] = set(headers.get_all("Content-Length", []))
    if not found:
        return None
    text = found.pop().strip()
    if found or not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise OddAnswer(f"the server sends an invalid Content-Length, {text[:40]!r}")
    return int(text)


def _check_scheme(url: str, since: str | None = None) -> None:
    scheme = urlsplit(url).scheme.lower()
    if scheme not in _SCHEMES:
        raise OddAnswer(
            f"redirects to {url[:80]!r}, which is neither http nor https"
            if since
            else f"{url[:80]!r} is neither http nor https"
        )
    if since is not None and scheme == "http" and urlsplit(since).scheme.lower() == "https":
        raise OddAnswer(f"redirects from https to {url[:80]!r}, which is not encrypted")

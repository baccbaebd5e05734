"""Downloads that are interrupted, resumed or wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.data.fetch import fetch
from metaselector.data.public.download import FetchError, download
from metaselector.data.registry import read

from .conftest import NAME, Server


def test_goes_on_when_the_server_breaks_off(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 2000]
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert server.asked == [None, "bytes=1000-", "bytes=3000-"]


def test_goes_on_in_the_next_call(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 0]
    with pytest.raises(UserError, match="disconnected after 1,000 of"):
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


def test_progress_is_reported(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    download(server.url, tmp_path / "part", server.md5, progress=lambda *now: told.append(now))
    assert told[-1] == (len(server.content), len(server.content))

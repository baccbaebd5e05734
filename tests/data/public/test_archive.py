"""Malicious and damaged zip files."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.public.archive import unpack


def _zip(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "target").mkdir(parents=True)
    return tmp_path / "deep" / "target"


def test_unpacks_folders(tmp_path: Path, target: Path) -> None:
    unpack(_zip(tmp_path / "a.zip", {"ml/": "", "ml/u.data": "1", "README": "r"}), target)
    assert (target / "ml" / "u.data").read_text() == "1"
    assert (target / "README").read_text() == "r"


def test_unpacks_only_what_is_wanted(tmp_path: Path, target: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"x/y/u.data": "1", "x/evil.py": "2"})
    unpack(archive, target, only={"x/y/u.data"}, flat=True)
    assert [path.name for path in target.iterdir()] == ["u.data"]
    with pytest.raises(DataError, match="has no member 'x/absent'"):
        unpack(archive, target, only={"x/absent"})


def test_refuses_a_member_without_a_name(tmp_path: Path, target: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"good": "1", "x": "2"})
    archive.write_bytes(archive.read_bytes().replace(b"x", b"\0"))  # a name ends at a NUL
    with pytest.raises(DataError, match="a member has no name"):
        unpack(archive, target)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "\\evil", "a\\..\\..\\evil", "C:\\evil", "C:evil"]
)
def test_refuses_to_write_outside(tmp_path: Path, target: Path, name: str) -> None:
    archive = _zip(tmp_path / "a.zip", {"good": "1", name: "2"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="would be written outside"):
        unpack(archive, target)
    assert sorted(tmp_path.rglob("*")) == before


def test_refuses_links(tmp_path: Path, target: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="member 'link' is a link"):
        unpack(tmp_path / "a.zip", target)


def test_refuses_too_much(tmp_path: Path, target: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": "0" * 600, "b": "0" * 600})
    with pytest.raises(DataError, match=r"1,200 bytes, more than 1,000"):
        unpack(archive, target, max_bytes=1000)
    assert not list(target.iterdir())


def test_a_member_that_lies_about_its_size_is_damaged(tmp_path: Path, target: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": "0" * 100_000})
    data = archive.read_bytes()
    size = (100_000).to_bytes(4, "little")
    assert data.count(size) == 2
    archive.write_bytes(data.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, target, max_bytes=1000)
    assert sum(path.stat().st_size for path in target.iterdir()) <= 1000


def test_refuses_encrypted(tmp_path: Path, target: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": "1"})
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, target)


def test_refuses_what_official_files_are_not_compressed_with(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("a", "1")
    with pytest.raises(DataError, match="member 'a' has an unusual compression"):
        unpack(tmp_path / "a.zip", target)


def test_a_name_that_is_not_utf8_is_damaged(tmp_path: Path, target: Path) -> None:
    archive = _zip(tmp_path / "a.zip", {"é": "1"})
    archive.write_bytes(archive.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match="not a zip file, or damaged"):
        unpack(archive, target)


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"<html>", lambda d: b""])
def test_damaged(tmp_path: Path, target: Path, damage) -> None:
    archive = _zip(tmp_path / "a.zip", {"a": "1" * 1000})
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match="not a zip file, or damaged"):
        unpack(archive, target)


def test_missing_and_impossible(tmp_path: Path, target: Path) -> None:
    with pytest.raises(DataError, match="file not found"):
        unpack(tmp_path / "absent.zip", target)
    archive = _zip(tmp_path / "a.zip", {"a": "1", "a/b": "2"})
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, target)

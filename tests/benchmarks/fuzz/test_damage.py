"""Damage changes a file, and a reader that does not notice it is caught."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz import damage
from benchmarks.fuzz.target import Different
from metaselector.common.errors import UserError


@cache
def careless(directory: Path) -> damage.Numbers:
    """Reads what it can and ignores the rest."""
    return {p.name: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def careful(directory: Path) -> damage.Numbers:
    found = careless(directory)
    if found != {"a": b"0123456789", "b": b"abcdefghij"}:
        raise UserError("is damaged")
    return found


def test_what_is_not_noticed_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_bytes(b"0123456789")
    (source / "b").write_bytes(b"abcdefghij")
    refused = different = 0
    for number in range(len(damage.DAMAGES) * 2):
        for find in (careless, careful):
            folder = tmp_path / f"{number}-{find.__name__}"
            folder.mkdir()
            damage._write(source, "*", find, Random(number), folder)
            compare = partial(damage._compare, source, find, folder)
            if find(source) == careless(folder / "copy"):
                compare()
            elif find is careful:
                with pytest.raises(UserError):
                    compare()
                refused += 1
            else:
                with pytest.raises(Different, match=r"[ab] is not as before"):
                    compare()
                different += 1
    assert refused == different > len(damage.DAMAGES)
    assert (source / "a").read_bytes() == b"0123456789"

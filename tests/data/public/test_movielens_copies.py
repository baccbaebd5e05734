"""Telling GroupLens' file of MovieLens-1M from other copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.data.public import movielens_copies
from metaselector.data.public.movielens import read_movielens_1m
from metaselector.data.public.movielens_copies import blob_id, origin_of
from metaselector.data.registry import read

from .formats import write_1m


def test_blob_id_is_that_of_git(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert blob_id(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_another_file_is_not_the_official_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_1m(tmp_path)
    origin = read_movielens_1m(tmp_path).origin
    assert origin is not None
    assert (origin.title, origin.true_times) == ("MovieLens-1M (not the official file)", True)
    monkeypatch.setattr(movielens_copies, "OFFICIAL", blob_id(tmp_path / "ratings.dat"))
    assert read_movielens_1m(tmp_path).origin is None


def test_a_missing_file_is_left_to_the_reader(tmp_path: Path) -> None:
    assert origin_of(tmp_path / "ratings.dat") is None


def test_the_reconstructed_file(real_data: Path) -> None:
    table = read("movielens-1m", real_data / "ml-1m-reconstructed.zip")
    assert table.name == "movielens-1m"
    assert table.origin is not None
    assert table.origin.title == "MovieLens-1M (reconstructed order)"
    assert not table.origin.true_times
    rows = table.interactions
    assert (len(rows), rows["user"].nunique(), rows["item"].nunique()) == (999_611, 6_040, 3_416)

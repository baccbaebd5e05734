"""What only MovieTweetings has: ratings from 0 to 10, IMDb's ids and genres."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.fetch import SOURCES
from metaselector.data.public.movietweetings import read_movietweetings
from metaselector.data.public.sources import PinnedFiles
from metaselector.data.registry import read

REAL = "movietweetings-142k.zip"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ratings.dat").write_text("1::0068646::10::1381620027\n1::0112271::0::1381620028\n")
    (tmp_path / "movies.dat").write_text(
        "0068646::The Godfather (1972)::Crime|Drama\n0112271::Fant\u00f4mas (1913)::Reality-TV\n",
        encoding="utf-8",
    )
    return tmp_path


def test_ids_and_genres_are_those_of_imdb(folder: Path) -> None:
    table = read_movietweetings(folder)
    assert table.interactions["item"].tolist() == ["0068646", "0112271"]
    assert table.interactions["rating"].tolist() == [10, 0]
    assert table.items["title"].tolist() == ["The Godfather (1972)", "Fant\u00f4mas (1913)"]
    assert table.items["release_year"].tolist() == ["1972", "1913"]
    assert table.items["genres"].tolist() == [("Crime", "Drama"), ("Reality-TV",)]
    assert table.users.empty


@pytest.mark.parametrize("rating", ["-1", "11", "7.5"])
def test_ratings_are_whole_points(folder: Path, rating: str) -> None:
    (folder / "ratings.dat").write_text(f"1::0068646::10::7\n1::0112271::{rating}::8\n")
    with pytest.raises(DataError) as error:
        list(read_movietweetings(folder).read())
    assert str(error.value) == (
        f"{folder}/ratings.dat:2 (column rating): {float(rating):g} is not a rating in "
        "whole points, 0 to 10; correct or remove the line"
    )


def test_a_short_line_of_films_is_named(folder: Path) -> None:
    (folder / "movies.dat").write_text("0068646::The Godfather (1972)\n")
    with pytest.raises(DataError, match=r"movies\.dat:1 .*has 2 instead of 3 columns"):
        read_movietweetings(folder)


def test_atomic_files_are_not_offered(tmp_path: Path) -> None:
    (tmp_path / "movietweetings.inter").write_text("user_id:token\n")
    with pytest.raises(DataError, match=r"expected ratings\.dat, movies\.dat \(official files\)$"):
        read("movietweetings", tmp_path)


def test_the_real_files(real_data: Path) -> None:
    table = read("movietweetings", real_data / REAL)
    rows = table.interactions
    assert len(rows) == 141_695
    assert rows["user"].nunique() == 21_081
    assert rows["item"].nunique() == len(table.items) == 12_611
    assert set(rows["item"]) == set(table.items.index)
    assert (rows["rating"].min(), rows["rating"].max()) == (0, 10)
    assert not rows.duplicated(["user", "item"]).any()
    assert table.items["release_year"].str.fullmatch("[0-9]{4}").all()
    assert table.repairs == []


def test_the_real_files_are_those_that_are_fetched(real_data: Path) -> None:
    (source,) = SOURCES["movietweetings"]
    assert isinstance(source, PinnedFiles)
    with zipfile.ZipFile(real_data / REAL) as archive:
        for path, sha256 in source.sha256:
            member = f"movietweetings/{path.rpartition('/')[2]}"
            assert hashlib.sha256(archive.read(member)).hexdigest() == sha256

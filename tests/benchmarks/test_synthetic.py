"""Synthetic files have the documented format, counts and distributions."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from pyarrow import csv

from benchmarks import synthetic_log
from benchmarks.synthetic_log import CARDINALITIES, FORMATS, write_log
from benchmarks.synthetic_movielens import (
    AGES,
    FEWEST,
    GENRES,
    RATING_SHARES,
    write_movielens_1m,
)
from metaselector.common.errors import UserError

USERS, MOVIES, RATED, RATINGS = 60, 400, 380, 6_000
ROWS, CHUNK = 5_000, 1_500


def records(path: Path) -> list[list[str]]:
    return [line.split("::") for line in path.read_text(encoding="latin-1").splitlines()]


def write_small(folder: Path, seed: int = 0) -> Path:
    sizes = {"users": USERS, "movies": MOVIES, "rated": RATED, "ratings": RATINGS}
    write_movielens_1m(folder, **sizes, seed=seed)
    return folder


class MovieLens(NamedTuple):
    ratings: list[list[str]]
    users: list[list[str]]
    movies: list[list[str]]


@pytest.fixture(scope="module")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> MovieLens:
    folder = write_small(tmp_path_factory.mktemp("movielens") / "ml-1m")
    return MovieLens(*(records(folder / f"{name}.dat") for name in MovieLens._fields))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clicks") / "log"
    write_log(folder, ROWS, chunk=CHUNK)
    return folder


def test_movielens_has_the_official_layout(movielens: MovieLens) -> None:
    assert [user for user, *_ in movielens.users] == [str(i + 1) for i in range(USERS)]
    for _, gender, age, occupation, area in movielens.users:
        assert gender in "MF"
        assert int(age) in AGES
        assert 0 <= int(occupation) <= 20
        assert len(area) == 5
    ids = [int(movie) for movie, *_ in movielens.movies]
    assert ids == sorted(set(ids))
    assert len(ids) == MOVIES < ids[-1]  # some ids are unused
    for _, title, genres in movielens.movies:
        year = re.search(r" \(([0-9]{4})\)$", title)
        assert year is not None
        assert 1919 <= int(year[1]) <= 2000
        assert 1 <= len(genres.split("|")) <= 6
        assert set(genres.split("|")) <= GENRES.keys()
    assert any(not title.isascii() for _, title, _ in movielens.movies)


def test_movielens_has_the_counts(movielens: MovieLens) -> None:
    pairs = {(user, movie) for user, movie, *_ in movielens.ratings}
    assert len(pairs) == len(movielens.ratings) == RATINGS
    assert {movie for _, movie in pairs} <= {movie for movie, *_ in movielens.movies}
    by_movie = Counter(movie for _, movie in pairs)
    assert len(by_movie) == RATED
    by_user = Counter(user for user, _ in pairs)
    assert len(by_user) == USERS
    assert min(by_user.values()) >= FEWEST


def test_movielens_has_the_shapes(movielens: MovieLens) -> None:
    stars = Counter(int(rating) for *_, rating, _ in movielens.ratings)
    for star, share in enumerate(RATING_SHARES, start=1):
        assert stars[star] == pytest.approx(share * RATINGS, abs=2)
    for column in (0, 1):
        counts = sorted(Counter(row[column] for row in movielens.ratings).values())
        assert np.mean(counts) > 1.2 * np.median(counts)  # a long tail
    span = {user: set[int]() for user, *_ in movielens.users}
    for user, _, _, seconds in movielens.ratings:
        span[user].add(int(seconds))
    assert all(956_703_932 <= min(times) <= max(times) <= 1_046_454_590 for times in span.values())
    assert min(span[str(USERS)]) < min(span["1"])  # the last user came first
    hours = [np.diff(np.sort([*times])) for times in span.values()]
    assert np.median(np.concatenate(hours)) < 3_600  # sessions


def test_movielens_is_determined_by_its_seed(tmp_path: Path) -> None:
    first, again, other = (
        (write_small(tmp_path / name, seed) / "ratings.dat").read_bytes()
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again != other


def test_movielens_refuses_counts_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="60 users with 20 to"):
        write_movielens_1m(tmp_path / "x", users=60, movies=100, rated=90, ratings=600)
    assert not (tmp_path / "x").exists()


def test_log_is_the_same_in_both_formats(log: Path) -> None:
    parquet = pq.read_table(log / "parquet" / "log.parquet")
    options = csv.ConvertOptions(column_types=parquet.schema, strings_can_be_null=True)
    text = csv.read_csv(log / "csv" / "log.csv", convert_options=options)
    assert text.num_rows == ROWS
    for name in parquet.column_names:
        ours, theirs = parquet[name].to_pylist(), text[name].to_pylist()
        assert ours == ([x or "" for x in theirs] if name == "tags" else theirs)


def test_log_names_its_columns(log: Path) -> None:
    for format_ in FORMATS:
        schema = yaml.safe_load((log / format_ / "log.yaml").read_text())
        path = log / format_ / schema["interactions"]
        names = pq.read_schema(path).names if format_ == "parquet" else header(path)
        features = schema["features"]
        assert len(features) == len(CARDINALITIES) + 4 == 12
        assert names == ["user_id", "item_id", "timestamp", "clicked", *features]


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return file.readline().rstrip("\n").split(",")


def test_log_has_the_shapes(log: Path) -> None:
    table = pq.read_table(log / "parquet" / "log.parquet").to_pandas()
    assert table["timestamp"].is_monotonic_increasing
    assert not table["user_id"].is_monotonic_increasing
    assert table["user_id"].nunique() == ROWS // synthetic_log.ROWS_PER_USER
    assert table["user_id"].value_counts().min() >= synthetic_log.FEWEST
    assert 0.1 < table["clicked"].mean() < 0.6
    for name, cardinality in CARDINALITIES.items():
        assert table[name].nunique() <= cardinality
    assert table["device"].nunique() == 2
    assert 0 < table["creative"].isna().mean() < 0.1
    assert 0 < table["price"].isna().mean() < 0.1
    tags = {tag for tags in table["tags"] for tag in tags.split("|")} - {""}
    assert len(tags) == synthetic_log.TAGS


def test_log_is_determined_by_its_seed(log: Path, tmp_path: Path) -> None:
    write_log(tmp_path / "again", ROWS, chunk=CHUNK)
    write_log(tmp_path / "other", ROWS, chunk=CHUNK, seed=1)
    first, again, other = (
        (folder / "csv" / "log.csv").read_bytes()
        for folder in (log, tmp_path / "again", tmp_path / "other")
    )
    assert first == again != other


def test_log_needs_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 10**6))
    with pytest.raises(UserError, match=r"0\.0 GB are free and 0\.7 GB needed"):
        write_log(tmp_path / "a" / "b", 1_000_000)
    assert not any(tmp_path.iterdir())

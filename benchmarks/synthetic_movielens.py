"""Synthetic files like those of MovieLens-1M, for machines without the real ones.

They have the same format, the same numbers of users, movies and ratings, the official distribution
of ratings, long tails of activity and popularity, sessions, and titles in latin-1. The tastes are
made up, so the files are good for timing only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metaselector.common.files import atomic_directory

RATING_SHARES = (0.056164, 0.107535, 0.261142, 0.348898, 0.226261)
"""Shares of 1 to 5 stars among the official ratings."""

FEWEST = 20
"""Least number of ratings per user."""

GENRES = {
    "Drama": 1603,
    "Comedy": 1200,
    "Action": 503,
    "Thriller": 492,
    "Romance": 471,
    "Horror": 343,
    "Adventure": 283,
    "Sci-Fi": 276,
    "Children's": 251,
    "Crime": 211,
    "War": 143,
    "Documentary": 127,
    "Musical": 114,
    "Mystery": 106,
    "Animation": 105,
    "Fantasy": 68,
    "Western": 68,
    "Film-Noir": 44,
}
"""Number of movies of each genre."""

AGES = {1: 222, 18: 1103, 25: 2096, 35: 1193, 45: 550, 50: 496, 56: 380}
"""Number of users of each age code."""

_GENRES_A_MOVIE = (2025, 1322, 421, 100, 14, 1)  # movies of 1, 2, … genres
_ADJECTIVES = ("Amélie's", "Blue", "Crying", "Déjà", "Last", "Naïve", "Señor's", "Silent", "Wild")
_NOUNS = ("Café", "City", "Fiancé", "Garden", "Girl", "Heart", "Léon", "Night", "River", "Train")
_MALE = 0.717
_OCCUPATIONS = 21
_IDS = 3952 / 3883  # highest movie id divided by the number of movies: some ids are unused
_MOST = 2314 / 3706  # share of the rated movies that the busiest user rated
_FIRST, _LAST = 956_703_932, 1_046_454_590  # seconds since 1970
_DAY = 86_400

Ints = NDArray[np.int64]


def write_movielens_1m(
    directory: Path,
    *,
    users: int = 6_040,
    movies: int = 3_883,
    rated: int = 3_706,
    ratings: int = 1_000_209,
    seed: int = 0,
) -> None:
    """Write ``ratings.dat``, ``users.dat`` and ``movies.dat`` into `directory`, all or none.

    Args:
        users: number of users; each has at least :data:`FEWEST` ratings.
        movies: number of movies in ``movies.dat``.
        rated: number of movies that have ratings.
        ratings: number of rows in ``ratings.dat``.
    """
    generator = np.random.default_rng(seed)
    ids = 1 + np.sort(generator.permutation(int(movies * _IDS) - 1)[: movies - 1])
    ids = np.append(ids, int(movies * _IDS))
    with atomic_directory(directory) as folder:
        _write(folder / "users.dat", _users(users, generator))
        _write(folder / "movies.dat", _movies(ids, generator))
        seen = generator.permutation(ids)[:rated]
        _write(folder / "ratings.dat", _ratings(users, seen, ratings, generator))


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="latin-1", newline="\n")


def _users(users: int, generator: np.random.Generator) -> list[str]:
    gender = np.where(generator.random(users) < _MALE, "M", "F")
    age = generator.choice([*AGES], users, p=_shares([*AGES.values()]))
    occupation = generator.integers(_OCCUPATIONS, size=users)
    area = generator.integers(100_000, size=users)
    known = zip(gender, age, occupation, area, strict=True)
    return [f"{user}::{g}::{a}::{o}::{z:05d}" for user, (g, a, o, z) in enumerate(known, start=1)]


def _movies(ids: Ints, generator: np.random.Generator) -> list[str]:
    counts = 1 + generator.choice(len(_GENRES_A_MOVIE), len(ids), p=_shares(_GENRES_A_MOVIE))
    years = 2000 - np.minimum(generator.exponential(14, len(ids)), 81).astype(int)
    share = _shares([*GENRES.values()])
    lines = []
    for id_, count, year in zip(ids, counts, years, strict=True):
        title = f"{generator.choice(_ADJECTIVES)} {generator.choice(_NOUNS)}, The ({year})"
        chosen = generator.choice([*GENRES], count, replace=False, p=share)
        lines.append(f"{id_}::{title}::{'|'.join(sorted(chosen))}")
    return lines


def _ratings(users: int, movies: Ints, rows: int, generator: np.random.Generator) -> list[str]:
    counts = _activity(users, int(_MOST * len(movies)), rows, generator)
    user = np.repeat(np.arange(users), counts)
    movie = _rate_all(_choices(counts, len(movies), generator), len(movies), generator)
    stars = _stars(user, movie, generator)
    seconds = _seconds(user, users, generator)
    columns = (column.tolist() for column in (user + 1, movies[movie], stars, seconds))
    return [f"{u}::{m}::{s}::{t}" for u, m, s, t in zip(*columns, strict=True)]


def _activity(users: int, most: int, rows: int, generator: np.random.Generator) -> Ints:
    """Number of ratings per user, int64 ``[users]``, between :data:`FEWEST` and `most`."""
    if not FEWEST * users <= rows <= most * users:
        raise ValueError(f"{users} users with {FEWEST} to {most} ratings cannot have {rows}")
    busy = generator.lognormal(0, 1.2, users)
    counts = np.full(users, FEWEST)
    while left := rows - counts.sum():
        room = busy * (counts < most)
        counts = np.minimum(counts + generator.multinomial(left, room / room.sum()), most)
    return counts


def _choices(counts: Ints, movies: int, generator: np.random.Generator) -> Ints:
    """Movies rated by each user, user after user; small indices are popular."""
    rank = np.arange(movies) / movies
    popularity = -3.5 * rank - 0.9 * np.log1p(93 * rank)  # logits that decline like the official
    chosen = []
    for count in counts:
        score = popularity + generator.gumbel(size=movies)  # the highest: a weighted sample
        chosen.append(generator.permutation(np.argpartition(-score, count - 1)[:count]))
    return np.concatenate(chosen)


def _rate_all(movie: Ints, movies: int, generator: np.random.Generator) -> Ints:
    """Give each unrated movie a rating of the most popular one."""
    counts = np.bincount(movie, minlength=movies)
    unrated = np.flatnonzero(counts == 0)
    popular = np.flatnonzero(movie == counts.argmax())
    movie[generator.choice(popular, len(unrated), replace=False)] = unrated
    return movie


def _stars(user: Ints, movie: Ints, generator: np.random.Generator) -> Ints:
    """Stars from 1 to 5 with the official distribution; users and movies differ."""
    liking = generator.normal(0, 0.9, len(user))
    liking += generator.normal(0, 0.4, user.max() + 1)[user]
    liking += generator.normal(0, 0.5, movie.max() + 1)[movie]
    stars = np.empty(len(user), dtype=np.int64)
    ends = (np.cumsum(RATING_SHARES)[:-1] * len(user)).astype(int)
    for star, rows in enumerate(np.split(np.argsort(liking), ends), start=1):
        stars[rows] = star
    return stars


def _seconds(user: Ints, users: int, generator: np.random.Generator) -> Ints:
    """Timestamps: mostly within an hour of a user's first day; the last user came first."""
    came = _FIRST + np.sort(generator.exponential(60, users) * _DAY)[::-1]
    sessions = np.cumsum(generator.exponential(30, (users, 4)) * _DAY, axis=1)
    sessions[:, 0] = 0
    session = (4 * generator.random(len(user)) ** 4).astype(int)
    found = came[user] + sessions[user, session] + 3600 * generator.random(len(user))
    return np.minimum(found, _LAST).astype(np.int64)


def _shares(counts: list[int] | tuple[int, ...]) -> NDArray[np.float64]:
    return np.array(counts) / sum(counts)

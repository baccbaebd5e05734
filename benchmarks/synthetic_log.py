"""A synthetic log of clicks with twelve features, as CSV and Parquet, of any length."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from metaselector.common.errors import UserError
from metaselector.common.files import atomic_directory

CARDINALITIES = {
    "device": 2,
    "system": 6,
    "placement": 24,
    "country": 120,
    "category": 600,
    "site": 3_000,
    "advertiser": 20_000,
    "creative": 100_000,
}
"""Number of words of each categorical feature."""

TAGS = 30
MOST_TAGS = 4
ROWS_PER_USER = 100
ROWS_PER_ITEM = 400
FEWEST = 5
"""Least number of rows per user."""
HISTORY, CANDIDATES = 20, 5
"""Rows of each user for prediction: labelled, and to predict."""

FORMATS = ("csv", "parquet")
CHUNK = 1_000_000
"""Rows generated at a time."""

BYTES_PER_ROW = 700
"""Disk space per row: both files, the prepared data, and temporary files."""

_MISSING = 0.02  # share of missing creatives and prices
_START, _SPAN = 1_704_067_200, 90 * 86_400  # 2024, 90 days
_TAG_SETS = 5_000

_SCHEMA = """\
version: 1
interactions: log.{format}
user: user_id
item: item_id
time: {{column: timestamp, unit: seconds}}
labels:
  clicked: {{column: clicked}}
features:
{categorical}
  price: {{kind: numeric}}
  dwell: {{kind: numeric}}
  bids: {{kind: numeric, buckets: 10}}
  tags: {{kind: multivalued, separator: "|"}}
"""

Ints = NDArray[np.int64]


def write_log(directory: Path, rows: int, *, seed: int = 0, chunk: int = CHUNK) -> None:
    """Write the same rows as ``csv/log.csv`` and ``parquet/log.parquet``, each with a ``log.yaml``.

    The folder is written completely or not at all. Rows are ordered by time; users and items have
    long tails.

    Args:
        rows: number of rows; on average :data:`ROWS_PER_USER` per user, :data:`ROWS_PER_ITEM` per
            item.
        chunk: rows in memory at a time; a different number gives a different log.

    Raises:
        UserError: the disk has too little space.
    """
    check_room(directory, rows)
    with atomic_directory(directory) as folder:
        for format_ in FORMATS:
            (folder / format_).mkdir()
            (folder / format_ / "log.yaml").write_text(_yaml(format_), encoding="utf-8")
        chunks = _chunks(rows, chunk, np.random.default_rng(seed))
        first = next(chunks)
        with (
            (folder / "csv" / "log.csv").open("wb") as file,
            pq.ParquetWriter(folder / "parquet" / "log.parquet", first.schema) as parquet,
        ):
            # pyarrow would quote the header; most logs do not.
            file.write((",".join(first.column_names) + "\n").encode())
            options = csv.WriteOptions(include_header=False, quoting_style="none")
            with csv.CSVWriter(file, first.schema, write_options=options) as writer:
                for table in itertools.chain([first], chunks):
                    writer.write_table(table)
                    parquet.write_table(table)


def write_users(directory: Path, users: int, rows: int, *, seed: int = 1) -> None:
    """Write ``history.parquet`` and ``candidates.parquet`` of users 0 to `users` - 1.

    Each has :data:`HISTORY` rows and :data:`CANDIDATES` later rows without a label, all after the
    end of a log of `rows` rows. In a shorter log, some of the users are new.

    Args:
        rows: of the log that :func:`write_log` writes; it decides which items there are.
    """
    generator = np.random.default_rng(seed)
    parts = _Parts.draw(rows, generator)
    start = _START + _SPAN
    with atomic_directory(directory) as folder:
        for name, each, dropped in (
            ("history", HISTORY, []),
            ("candidates", CANDIDATES, ["clicked"]),
        ):
            numbers = np.repeat(np.arange(users, dtype=np.int32), each)
            time = start + np.tile(np.arange(each), users)
            start += each
            table = parts.rows(numbers, time, generator).drop_columns(dropped)
            pq.write_table(table, folder / f"{name}.parquet")


def check_room(directory: Path, rows: int) -> None:
    """Raise :class:`UserError` if the disk of `directory` has no space for `rows` rows."""
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free, needed = shutil.disk_usage(existing).free, rows * BYTES_PER_ROW
    if free < needed:
        raise UserError(
            f"{existing}: {free / 1e9:,.1f} GB are free and {needed / 1e9:,.1f} GB needed for "
            f"{rows:,} rows; choose a folder on another disk with --work, or fewer --rows"
        )


def _yaml(format_: str) -> str:
    categorical = "\n".join(f"  {name}: {{kind: categorical}}" for name in CARDINALITIES)
    return _SCHEMA.format(format=format_, categorical=categorical)


def _chunks(rows: int, chunk: int, generator: np.random.Generator) -> Iterator[pa.Table]:
    users = _users(rows, generator)
    parts = _Parts.draw(rows, generator)
    for start in range(0, rows, chunk):
        user = users[start : start + chunk]
        time = _START + np.arange(start, start + len(user)) * _SPAN // rows
        yield parts.rows(user, time, generator)


class _Parts(NamedTuple):
    """What rows are drawn from: the click rate of each item, words by feature, sets of tags."""

    rate: NDArray[np.float64]
    words: dict[str, pa.Array]
    tags: pa.Array

    @classmethod
    def draw(cls, rows: int, generator: np.random.Generator) -> Self:
        rate = generator.beta(2, 5, max(1, rows // ROWS_PER_ITEM))
        words = {name: _words(name, count) for name, count in CARDINALITIES.items()}
        return cls(rate, words, _tag_sets(generator))

    def rows(self, user: NDArray[Any], time: Ints, generator: np.random.Generator) -> pa.Table:
        n = len(user)
        item = _long_tail(len(self.rate), n, generator)
        codes = {name: _long_tail(len(words), n, generator) for name, words in self.words.items()}
        columns = {
            "user_id": pc.cast(pa.array(user), pa.string()),
            "item_id": pc.cast(pa.array(item), pa.string()),
            "timestamp": pa.array(time),
            "clicked": pa.array((generator.random(n) < self.rate[item]).astype(np.int8)),
            **{name: self.words[name].take(pa.array(codes[name])) for name in self.words},
            "price": pa.array(np.round(generator.lognormal(2, 1, n), 2)),
            "dwell": pa.array(np.round(generator.exponential(30, n), 1)),
            "bids": pa.array(generator.geometric(0.05, n).astype(np.float64)),
            "tags": self.tags.take(pa.array(_long_tail(len(self.tags), n, generator))),
        }
        for name in ("creative", "price"):
            missing = pa.array(generator.random(n) < _MISSING)
            columns[name] = pc.if_else(missing, None, columns[name])
        return pa.table(columns)


def _users(rows: int, generator: np.random.Generator) -> NDArray[np.int32]:
    """The user of each row, int32 ``[rows]``; each has at least :data:`FEWEST` rows."""
    number = max(1, rows // ROWS_PER_USER)
    activity = generator.lognormal(0, 1.2, number)
    counts = FEWEST + generator.multinomial(rows - FEWEST * number, activity / activity.sum())
    users = np.repeat(np.arange(number, dtype=np.int32), counts)
    generator.shuffle(users)
    return users


def _long_tail(number: int, rows: int, generator: np.random.Generator) -> Ints:
    """Draws from ``range(number)`` in which small numbers are frequent."""
    return (number * generator.random(rows) ** 3).astype(np.int64)


def _words(name: str, number: int) -> pa.Array:
    return pa.array([f"{name[:2]}{i:x}" for i in range(number)])


def _tag_sets(generator: np.random.Generator) -> pa.Array:
    counts = generator.integers(MOST_TAGS + 1, size=_TAG_SETS)
    sets = [np.sort(generator.choice(TAGS, count, replace=False)) for count in counts]
    return pa.array(["|".join(f"t{tag}" for tag in chosen) for chosen in sets])

"""Small data sets to encode, and helpers to decode them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import InteractionTable
from metaselector.data.preparation.encode import encode, encode_to
from metaselector.data.preparation.parts import Settings
from metaselector.data.public.atomic import read_atomic
from metaselector.data.registry import read
from metaselector.data.splitting.windows import Windows

MakeTable = Callable[[Sequence[tuple[str, str, float, int]]], InteractionTable]
DAY = 86_400
THURSDAY = 881_193_600  # 4 December 1997, 00:00 UTC
WINDOWS = Windows(early=20, train=60, valid=80)  # of 5 rows: 1, 3, 4
SETTINGS = Settings(WINDOWS, history_length=2)

# In the order of the file; ann's rows by time are lines 2, 5, 1, 7, 9 and bob's 3, 4, 6, 8, 10.
ROWS = [
    ("ann", "i2", 4.0, THURSDAY + 2 * DAY),
    ("ann", "i1", 5.0, THURSDAY),
    ("bob", "i2", 1.0, THURSDAY),
    ("bob", "i1", 4.0, THURSDAY + 1 * DAY),
    ("ann", "i3", 4.0, THURSDAY + 1 * DAY),
    ("bob", "i2", 5.0, THURSDAY + 1 * DAY),
    ("ann", "i4", 3.5, THURSDAY + 90 * DAY),
    ("bob", "i4", 5.0, THURSDAY + 200 * DAY),
    ("ann", "i1", 2.0, THURSDAY + 300 * DAY),
    ("bob", "i1", 5.0, THURSDAY + 300 * DAY),
]


@pytest.fixture
def dataset(make_table: MakeTable) -> EncodedDataset:
    return encode(make_table(ROWS), SETTINGS)


def field(dataset: EncodedDataset, name: str) -> list[Any]:
    """Decode a field into (word, value) pairs, a list per row, without padding."""
    width = next(f.slots for f in dataset.schema.fields if f.name == name)
    first = dataset.schema.first_slot(name)
    rows = []
    for ids, values in zip(*features(dataset), strict=True):
        cells = zip(ids[first : first + width], values[first : first + width], strict=True)
        rows.append(
            [
                (dataset.schema.word(int(i)).removeprefix(f"{name}="), pytest.approx(float(v)))
                for i, v in cells
                if i
            ]
        )
    return rows


def decoded(dataset: EncodedDataset, name: str) -> list[Any]:
    """Decode a field into [word, value] of each slot, a list per row, without padding."""
    batch = dataset.batch(np.arange(len(dataset)))
    first = dataset.schema.first_slot(name)
    field = next(field for field in dataset.schema.fields if field.name == name)
    rows = []
    for ids, values in zip(
        *(t[:, first : first + field.slots].tolist() for t in batch), strict=True
    ):
        words = [dataset.schema.word(id_).removeprefix(f"{name}=") for id_ in ids]
        rows.append([pair for pair in zip(words, values, strict=True) if pair[0] != "(padding)"])
    return rows


def words(dataset: EncodedDataset, name: str) -> list[str]:
    """A categorical field as words."""
    cells = field(dataset, name)
    assert all(value == 1 for ((_, value),) in cells)
    return [word for ((word, _),) in cells]


def vocabulary(schema: Schema, name: str) -> tuple[str, ...]:
    return next(f.vocabulary for f in schema.fields if f.name == name)


def features(dataset: EncodedDataset, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    batch = dataset.batch(np.arange(len(dataset))[rows])
    return batch.ids.numpy(), batch.values.numpy()


def assert_same(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> None:
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


SCHEMA = """
version: 1
interactions: log.csv
user: who
item: what
time: {column: at, unit: milliseconds}
labels:
  bought: {column: amount, threshold: 3}
  kept: {column: kept, after: bought}
features:
  device: {kind: categorical}
  price: {kind: numeric}
  bucket: {kind: numeric, column: price2, buckets: 4}
  tags: {kind: multivalued, separator: ";"}
time_parts: [hour, month]
users: {file: users.csv, key: who, features: {age: {kind: numeric}, city: {kind: categorical}}}
items:
  file: items.csv
  key: what
  features:
    groups: {kind: multivalued, separator: "|", profile: true}
    weight: {kind: numeric}
"""


def prepared(source: str, raw: Path, directory: Path, settings: Settings) -> Path:
    directory.mkdir()
    encode_to(read(source, raw), directory, settings)
    return directory


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A prepared log with all kinds of features, two tasks, ties and repeats; and its raw rows."""
    folder = tmp_path_factory.mktemp("shop")
    generator = np.random.default_rng(1)
    n = 400
    frame = pd.DataFrame(
        {
            "who": generator.integers(12, size=n).astype(str),
            "what": generator.integers(30, size=n),
            "at": 1_600_000_000_000 + 3_600_000_000 * generator.integers(25, size=n),
            "amount": generator.integers(1, 6, size=n),
            "device": generator.choice(["phone", "tablet", ""], size=n),
            "price": np.where(generator.random(n) < 0.2, np.nan, generator.normal(size=n)),
            "price2": generator.normal(size=n),
            "tags": generator.choice(["a;b", "b", "", "c;a;b"], size=n),
        }
    )
    kept = generator.integers(2, size=n).astype(float)
    frame["kept"] = np.where(frame["amount"] >= 3, kept, np.nan)
    frame = pd.concat([frame, frame.iloc[:20]], ignore_index=True)
    frame.to_csv(folder / "log.csv", index=False)
    ages = [f"{u},{20 + u},{'Rome' if u % 2 else ''}" for u in range(10)]
    (folder / "users.csv").write_text("\n".join(["who,age,city", *ages]) + "\n")
    groups = ["x|y", "", "z|x|w", "y"]
    items = [f"{i},{groups[i % 4]},{i / 7 if i % 5 else ''}" for i in range(28)]
    (folder / "items.csv").write_text("\n".join(["what,groups,weight", *items]) + "\n")
    (folder / "shop.yaml").write_text(SCHEMA)
    source = str(folder / "shop.yaml")
    settings = Settings(history_length=4, min_count=2)
    return prepared(source, folder / "log.csv", folder / "data", settings), frame


@pytest.fixture(scope="module")
def films(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("films")
    raw = write_world(folder / "raw")
    table = read_atomic(raw, "ml-100k").interactions
    return prepared("movielens-100k", raw, folder / "data", Settings()), table

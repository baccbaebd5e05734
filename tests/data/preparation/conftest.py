"""A small world, encoded, and a way to read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import InteractionTable
from metaselector.data.preparation.encode import Settings, encode
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
    """The field as words and values, one list of (word, value) a row, padding left out."""
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

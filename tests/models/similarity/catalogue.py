"""Data sets of a few users and items, and episodes on all of their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Owner, Schema
from metaselector.data.splitting.episodes import EpisodeRows

UNSEEN = 0
"""Word of an item, or of its features, that is not in the vocabulary; word 1 is the first in it."""


def catalogue(
    rows: Sequence[tuple[int, int, int]],
    words: Sequence[int],
    features: Sequence[Sequence[Sequence[int]]] = (),
    *,
    known: int = 0,
) -> EncodedDataset:
    """A data set with an item field and multi-valued fields of items.

    Args:
        rows: user, item and label of each row, users ascending.
        words: the word of each item.
        features: for each field, the words of each item.
        known: words of items in the vocabulary; by default as many as occur.
    """
    number = np.array(rows, dtype=np.int64).reshape(-1, 3)
    sizes = [known or max(words)]
    sizes += [max((word for item in field for word in item), default=0) for field in features]
    users = int(number[:, 0].max(initial=0)) + 1
    fields: list[Field] = []
    cells: list[np.ndarray] = []
    first = 1
    for i, (size, entries) in enumerate(
        zip(sizes, [[[word] for word in words], *features], strict=True)
    ):
        slots = max([len(entry) for entry in entries] + [1])
        table = np.zeros((len(words), slots), dtype=np.int32)
        for row, entry in zip(table, entries, strict=True):
            row[: len(entry)] = first + np.array(entry, dtype=np.int32)
        of: Owner = "item"
        vocabulary = tuple(f"word {word + 1}" for word in range(size))
        kind = "multivalued" if i else "categorical"
        name = f"feature_{i}" if i else "item"
        fields.append(
            Field(name=name, kind=kind, of=of, slots=slots, first_id=first, vocabulary=vocabulary)
        )
        cells.append(table)
        first += size + 1
    schema = Schema(
        dataset="tiny", label_threshold=1, history_length=0, windows=(60, 80, 90), fields=(*fields,)
    )
    plain = EncodedDataset.of_rows(
        schema,
        cells=np.zeros((len(number), 0), dtype=np.int32),
        labels=number[:, 2].astype(np.float32),
        user_offsets=np.searchsorted(number[:, 0], np.arange(users + 1)),
        user_names=tuple(str(user) for user in range(users)),
    )
    items = number[:, 1].astype(np.int32)
    return replace(plain, items=items, item_cells=np.concatenate(cells, axis=1))


def of_items(items: int) -> list[tuple[int, int, int]]:
    """A user with one row of each item."""
    return [(0, item, item % 2) for item in range(items)]


def all_pairs(rows: int, padding: int = 0) -> EpisodeRows:
    """One user whose query and support are the first rows of the data, and some padding."""
    of = np.array([[*range(rows), *[-1] * padding]], dtype=np.int64)
    return EpisodeRows(np.zeros(1, dtype=np.int64), of, of)


def random_catalogue(generator: np.random.Generator, users: int = 12) -> EncodedDataset:
    """Ten items, some unseen and with repeated words, and up to 30 rows of each user."""
    rows = [
        (user, int(item), int(generator.integers(2)))
        for user in range(users)
        for item in generator.integers(10, size=generator.integers(5, 30))
    ]
    words = [1, 2, 3, UNSEEN, 4, 5, UNSEEN, 6, 7, 8]
    features = [
        [generator.integers(5, size=generator.integers(4)).tolist() for _ in words]
        for _ in range(2)
    ]
    return catalogue(rows, words, features)


def random_episodes(
    dataset: EncodedDataset, generator: np.random.Generator, users: int, support: int, query: int
) -> EpisodeRows:
    """Any rows, a quarter of them padding; users do not matter to similarities."""
    of_support, of_query = (
        np.where(generator.random(shape) < 0.75, generator.integers(len(dataset), size=shape), -1)
        for shape in ((users, support), (users, query))
    )
    return EpisodeRows(np.arange(users), of_support, of_query)

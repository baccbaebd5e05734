"""The pairs of a query row and a support row in episodes, computed once per pair of items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.interactions import Ints

NONE = -1
"""The key of a row without an item: padding, or an item that training has not seen."""
MOST_PAIRS = 2**21
"""Pairs of items compared at once, unless a single user has more: 16 MiB in float64."""

Block = Callable[[Ints, Ints], NDArray[np.floating]]
"""``(support keys [a], query keys [b]) -> similarities [a, b]``, both ascending and distinct."""
Cost = Callable[[Ints, Ints], float]
"""What a block costs, in any unit."""


def cost_of_pairs(support: Ints, query: Ints) -> float:
    """The number of pairs, and of those that the call itself is worth."""
    return len(support) * len(query) + 50_000


def over_pairs(support: Ints, query: Ints, block: Block, cost: Cost = cost_of_pairs) -> Tensor:
    """Similarity of every query row to every support row of its user.

    Popular items recur among users, so `block` gets the distinct keys of several users. Where that
    compares too many items of different users, or more than :data:`MOST_PAIRS`, it gets half of the
    users at a time.

    Args:
        support: int64 ``[U, S]``, keys of the rows' items; :data:`NONE` gives 0.
        query: int64 ``[U, Q]``, likewise.
        block: similarities of items.
        cost: of a block.

    Returns:
        float32 ``[U, Q, S]``.

    Example:
        >>> support, query = np.array([[3, 5, -1]]), np.array([[5]])
        >>> over_pairs(support, query, lambda a, b: a[:, None] == b).tolist()
        [[[0.0, 1.0, 0.0]]]
    """
    found = np.zeros((*query.shape, support.shape[1]), dtype=np.float32)
    waiting = [slice(0, len(support))]
    while waiting:
        users = waiting.pop()
        a, b = _keys(support[users]), _keys(query[users])
        if not len(a) or not len(b):
            continue
        middle = (users.start + users.stop) // 2
        halves = slice(users.start, middle), slice(middle, users.stop)
        if middle > users.start and (
            len(a) * len(b) > MOST_PAIRS
            or sum(cost(_keys(support[half]), _keys(query[half])) for half in halves) < cost(a, b)
        ):
            waiting += halves
            continue
        values = block(a, b)
        row = np.searchsorted(a, support[users])[:, None, :]  # [U, 1, S]
        column = np.searchsorted(b, query[users])[:, :, None]  # [U, Q, 1]
        known = (support[users] != NONE)[:, None, :] & (query[users] != NONE)[:, :, None]
        found[users] = np.where(known, values[row, column], 0)
    return torch.from_numpy(found)


def _keys(rows: Ints) -> Ints:
    return np.unique(rows[rows != NONE])


def item_field(schema: Schema) -> Field | None:
    """The field of the items' own ids; None in tabular data, whose rows have no items."""
    fields = (field for field in schema.fields_of("item") if field.name == "item")
    return next(fields, None)


def item_of(dataset: EncodedDataset, rows: Ints) -> Ints:
    """Index in `dataset` of each row's item, int64 of the shape of `rows`; padding stays -1."""
    return np.where(rows >= 0, dataset.items[np.maximum(rows, 0)], NONE).astype(np.int64)


def item_slots(schema: Schema, field: Field) -> slice:
    """The columns of ``item_cells`` that hold a field of the items."""
    start = 0
    for other in schema.fields_of("item"):
        if other.name == field.name:
            return slice(start, start + field.slots)
        start += other.slots
    raise KeyError(field.name)


def item_ids(dataset: EncodedDataset, items: Ints) -> Ints:
    """Place of items in the vocabulary of their own field; :data:`NONE` if they are not in it.

    Unlike the index in a data set, it is the same for rows that are encoded later.
    """
    field = item_field(dataset.schema)
    assert field is not None
    cells = dataset.item_cells[np.maximum(items, 0), item_slots(dataset.schema, field).start]
    return np.where(items >= 0, np.maximum(cells.astype(np.int64) - field.first_id - 1, NONE), NONE)

"""Unlabelled pairs of user and item, as rows that models can predict.

A pair never equals a row of the data in any window, because those rows have labels. It takes its
history and all features of the moment from a training row of the same user, its context. The
history holds the user's positives strictly before that row, so the features of a pair contain
nothing later than its context.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints

_OVERDRAWN = 3
"""Pairs drawn for each one needed, because many are already in the data."""


class Pairs(NamedTuple):
    """Pairs of user and item.

    Attributes:
        context: int64 ``[n]``, the row that gives a pair its user and moment.
        items: int64 ``[n]``.
    """

    context: Ints
    items: Ints

    def keys(self, dataset: EncodedDataset) -> Ints:
        """A unique number for each pair of user and item."""
        return dataset.users[self.context] * len(dataset.item_cells) + self.items


def check_items(dataset: EncodedDataset) -> None:
    """Raise a ConfigError if the data has no items and so no pairs."""
    if not dataset.schema.fields_of("item"):
        raise ConfigError(
            "peer_learning.strategy=co-training: the data has no items, so there are no "
            "unlabelled pairs; use mutual"
        )


def in_data(dataset: EncodedDataset) -> Ints:
    """Keys of the rows of all windows."""
    rows = np.arange(len(dataset))
    return np.unique(Pairs(rows, dataset.items.astype(np.int64)).keys(dataset))


def draw(
    dataset: EncodedDataset, rows: Ints, size: int, taken: Ints, generator: np.random.Generator
) -> Pairs:
    """Draw pairs; users and items are as frequent as in `rows`.

    Args:
        rows: training rows, from which contexts and items are drawn independently.
        size: maximum number of pairs; fewer if not enough are free.
        taken: keys to exclude; include those of :func:`in_data`.
    """
    context = generator.choice(rows, _OVERDRAWN * size)
    items = dataset.items[generator.choice(rows, _OVERDRAWN * size)].astype(np.int64)
    drawn = Pairs(context, items)
    keys = drawn.keys(dataset)
    _, first = np.unique(keys, return_index=True)
    first.sort()  # in the order they were drawn
    free = first[~np.isin(keys[first], taken)][:size]
    return Pairs(context[free], items[free])


def as_rows(dataset: EncodedDataset, pairs: Pairs) -> tuple[EncodedDataset, Ints]:
    """A data set whose rows are the pairs, without labels, and the row of each pair in it."""
    order = np.argsort(pairs.context, kind="stable")  # rows are grouped by user
    context = pairs.context[order]
    counts = np.bincount(dataset.users[context], minlength=dataset.num_users)
    as_dataset = replace(
        dataset,
        task_labels=np.full((len(context), 1), np.nan, dtype=np.float32),
        timestamps=dataset.timestamps[context],
        source_rows=np.full(len(context), -1),
        user_offsets=np.concatenate([[0], np.cumsum(counts)]),
        cells=dataset.cells[context],
        items=pairs.items[order].astype(np.int32),
        history_sizes=dataset.history_sizes[context],
        sha256="",
        scores=None,
    )
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return as_dataset, place

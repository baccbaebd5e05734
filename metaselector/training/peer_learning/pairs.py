"""Pairs of user and item that are in no row of the data, as rows that models can predict.

A pair never is one whose row lies in *valid* or *test*, nor any other row: those have labels, which
are to be predicted or were learned. A pair gets the features of a moment from a training row of the
same user, its context: the history is that row's, which holds what the user liked strictly before
it, and so are all features that belong to the row itself. So nothing later than the context is in a
pair's features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints

_OVERDRAWN = 3
"""Pairs drawn for each that is wanted, as many are in the data."""


class Pairs(NamedTuple):
    """Attributes:

    context: int64 ``[n]``, the row whose user and moment each has.
    items: int64 ``[n]``.
    """

    context: Ints
    items: Ints

    def keys(self, dataset: EncodedDataset) -> Ints:
        """One number for each pair of user and item."""
        return dataset.users[self.context] * len(dataset.item_cells) + self.items


def check_items(dataset: EncodedDataset) -> None:
    """Raise a ConfigError where rows have no item, so that there are no pairs."""
    if not dataset.schema.fields_of("item"):
        raise ConfigError(
            "peer_learning.strategy=co-training: the data has no items, so there are no "
            "unlabelled pairs; use mutual"
        )


def in_data(dataset: EncodedDataset) -> Ints:
    """Keys of all rows, of every window."""
    rows = np.arange(len(dataset))
    return np.unique(Pairs(rows, dataset.items.astype(np.int64)).keys(dataset))


def draw(
    dataset: EncodedDataset, rows: Ints, size: int, taken: Ints, generator: np.random.Generator
) -> Pairs:
    """Pairs of the users and items of `rows`, each of them as often as it is in `rows`.

    Args:
        rows: training rows, from which contexts and items are drawn independently.
        size: how many, at most; fewer where not so many are free.
        taken: keys that are not to be drawn; with those of :func:`in_data` they never are.
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
    """A data set whose rows are the pairs, without labels, and where in it each pair is."""
    order = np.argsort(pairs.context, kind="stable")  # users are in order of their rows
    context = pairs.context[order]
    counts = np.bincount(dataset.users[context], minlength=dataset.num_users)
    made = replace(
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
    return made, place

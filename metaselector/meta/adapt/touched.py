"""The rows of the embedding tables that episodes touch.

A user's episode reads few rows of a table. Adapting a local copy of those rows, ``[U, L, D]``, with
ids remapped to it, gives exactly the numbers of adapting the whole table, at a cost that does not
depend on the vocabulary. A meta-batch also reads few rows, and its gradient has no others.

Every user touches id 0, so that the padding id stays 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.models.kernels.on_rows import distinct


class Touched(NamedTuple):
    """The rows that episodes touch, and the episodes with ids among them.

    Attributes:
        rows: int64 ids in ascending order: ``[n]``, those of all users together, or ``[U, L]``,
            those of each user, followed by padding with 0.
        episodes: the episodes with ids that index `rows`.
    """

    rows: Tensor
    episodes: Episodes


def rows_of_batch(episodes: Episodes) -> Touched:
    """Find the distinct ids of all users together."""
    rows, positions = distinct(_ids(episodes))
    return Touched(rows, _with_ids(episodes, positions))


def rows_of_users(episodes: Episodes) -> Touched:
    """Find each user's distinct ids."""
    ids = _ids(episodes)
    users = torch.arange(len(ids), device=ids.device)
    width = int(ids.max()) + 1
    # One pass for all users: user u's ids live in [u * width, (u + 1) * width).
    keys, positions = distinct(ids + (users * width).unsqueeze(1))
    owner = keys // width
    count = torch.bincount(owner, minlength=len(ids))
    start = count.cumsum(0) - count
    rows = ids.new_zeros(len(ids), int(count.max()))
    rows[owner, torch.arange(len(keys), device=ids.device) - start[owner]] = keys % width
    return Touched(rows, _with_ids(episodes, positions - start.unsqueeze(1)))


def _ids(episodes: Episodes) -> Tensor:
    """A 0 and all ids of each user, ``[U, 1 + (S + Q) * C]``."""
    support, query = episodes.support.batch.ids, episodes.query.batch.ids
    padding = support.new_zeros(len(support), 1)
    return torch.cat([padding, support.flatten(1), query.flatten(1)], dim=1)


def _with_ids(episodes: Episodes, ids: Tensor) -> Episodes:
    """The episodes with ids as :func:`_ids` lays them out."""

    def local(rows: Rows, ids: Tensor) -> Rows:
        return replace(rows, batch=Batch(ids.reshape(rows.batch.ids.shape), rows.batch.values))

    support = episodes.support.batch.ids[0].numel()
    return replace(
        episodes,
        support=local(episodes.support, ids[:, 1 : 1 + support]),
        query=local(episodes.query, ids[:, 1 + support :]),
    )

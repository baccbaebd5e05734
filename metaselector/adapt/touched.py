"""The rows of the embedding tables that each user touches.

A user's episode reads few rows of a table. Adapting a local copy of those, ``[U, L, D]``, with ids
remapped to it, gives exactly the numbers of adapting the whole table, at a cost that does not
depend on the vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metaselector.data.batch import Batch
from metaselector.data.episodes import Episodes, Rows


class Touched(NamedTuple):
    """Attributes:

    rows: int64 ``[U, L]``, the distinct ids of each user in ascending order, then padding with 0.
    episodes: the episodes with ids that index `rows`.
    """

    rows: Tensor
    episodes: Episodes


def touched_rows(episodes: Episodes) -> Touched:
    """Find each user's distinct ids and remap the episodes to them."""
    support, query = episodes.support, episodes.query
    ids = torch.cat([support.batch.ids, query.batch.ids], dim=1)  # [U, S + Q, C]
    users = torch.arange(len(ids), device=ids.device)
    width = int(ids.max()) + 1
    # One sort for all users: user u's ids live in [u * width, (u + 1) * width).
    keys, position = torch.unique(ids + (users * width)[:, None, None], return_inverse=True)
    owner = keys // width
    count = torch.bincount(owner, minlength=len(ids))
    start = count.cumsum(0) - count
    rows = ids.new_zeros(len(ids), int(count.max()))
    rows[owner, torch.arange(len(keys), device=ids.device) - start[owner]] = keys % width
    local = position - start[:, None, None]  # [U, S + Q, C]
    local_support, local_query = local.split(
        [support.labels.shape[1], query.labels.shape[1]], dim=1
    )
    return Touched(rows, Episodes(_with_ids(support, local_support), _with_ids(query, local_query)))


def _with_ids(rows: Rows, ids: Tensor) -> Rows:
    return Rows(Batch(ids, rows.batch.values), rows.labels, rows.mask)

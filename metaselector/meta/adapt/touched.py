"""The rows of the embedding tables that episodes touch.

A user's episode reads few rows of a table. Adapting a local copy of those rows, ``[U, L, D]``, with
ids remapped to it, gives exactly the numbers of adapting the whole table, at a cost that does not
depend on the vocabulary. A meta-batch also reads few rows, and its gradient has no others.

Every user touches id 0, so that the padding id stays 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
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


@dataclass(frozen=True)
class LocalEpisodes(Episodes):
    """Episodes with ids that index the rows of tables that each user touches.

    Attributes:
        rows: int64 ``[U, L]``.
    """

    rows: Tensor = field(kw_only=True)


def as_tree(episodes: Episodes) -> tuple[Any, ...]:
    """The tensors of episodes, for :class:`~metaselector.models.kernels.replay.Fixed`."""
    parts = (
        (part.batch, part.labels, part.mask, part.hours)
        for part in (episodes.support, episodes.query)
    )
    return *parts, episodes.similarity, getattr(episodes, "rows", None)


def of_tree(tree: Any) -> Episodes:
    """The episodes of :func:`as_tree`."""
    support, query, similarity, rows = tree
    parts = Rows(*support), Rows(*query), similarity
    return Episodes(*parts) if rows is None else LocalEpisodes(*parts, rows=rows)


def adapts_tables(model: nn.Module, adaptation: Adaptation) -> bool:
    """Whether the inner loop changes rows of tables, so that users need rows of their own."""
    tables: frozenset[str] = frozenset(model.tables)  # type: ignore[arg-type]
    return bool(adaptation.steps) and not tables.isdisjoint(adaptation.names)


def localized(episodes: Episodes, *, padded: bool) -> LocalEpisodes:
    """Find each user's distinct ids.

    Args:
        padded: whether to append padding, so that more meta-batches have the same number of rows.
    """
    rows, local = rows_of_users(episodes)
    if padded:
        rows = F.pad(rows, (0, rounded_up(rows.shape[1]) - rows.shape[1]))
    return LocalEpisodes(local.support, local.query, local.similarity, rows=rows)


def rounded_up(size: int) -> int:
    """At most an eighth more than `size`; there are eight such numbers between n and 2 n.

    Example:
        >>> [rounded_up(size) for size in (7, 33, 100, 1000)]
        [7, 36, 104, 1024]
    """
    step = 1 << max(size.bit_length() - 4, 0)
    return -(-size // step) * step


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

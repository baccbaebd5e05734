"""Episodes: padded and masked support and query rows, so that users can be batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.hours import hours_of
from metaselector.data.splitting.lists import first_lists, list_start, whole_lists
from metaselector.data.splitting.windows import boundaries, parts_of

NO_ROW = -1
MOST_QUERY = 256
"""Query rows per episode of a whole window, so that one user's many rows do not pad all others'."""


@dataclass(frozen=True)
class EpisodeRows:
    """The rows of a data set that make up the episodes of U users; -1 is padding.

    Attributes:
        users: int64 ``[U]``.
        support: int64 ``[U, S]``, oldest first.
        query: int64 ``[U, Q]``, oldest first.
        history_limits: int64 ``[U]``, maximum positives that the rows' histories show; None leaves
            histories as encoded.
        since: int64 ``[U]``, rows from whose times hours count; None: each first query row.
        list_offsets: int64 ``[L + 1]``, start of each list of the data set, and its number of rows;
            None if rows belong to no lists. Supports consist of whole lists.
    """

    users: Ints
    support: Ints
    query: Ints
    history_limits: Ints | None = None
    since: Ints | None = None
    list_offsets: Ints | None = None

    def some(self, index: Ints) -> EpisodeRows:
        """The episodes at positions `index`, with padding cut to what they need."""
        support, query = self.support[index], self.query[index]
        width = int((query >= 0).sum(axis=1).max(initial=0))
        # One column stays, since an empty support has padding only.
        most = max(int((support >= 0).sum(axis=1).max(initial=0)), 1)
        limits, since = (
            None if of is None else of[index] for of in (self.history_limits, self.since)
        )
        return replace(
            self,
            users=self.users[index],
            support=support[:, -most:],
            query=query[:, :width],
            history_limits=limits,
            since=since,
        )

    def most_recent(self, sizes: Ints | int) -> EpisodeRows:
        """The episodes with only the most recent support rows of each user, in whole lists.

        A list that does not fit is left out, so a user whose latest list is longer than the number
        has no support.

        Args:
            sizes: how many, 0 or more: one number, or int64 ``[U]``.
        """
        places = np.arange(self.support.shape[1], 0, -1)  # the most recent row is in place 1
        kept = np.where(places <= np.reshape(sizes, (-1, 1)), self.support, NO_ROW)
        width = max(int(np.max(sizes, initial=0)), 1)
        return replace(self, support=whole_lists(kept[:, -width:], self.list_offsets))

    def flat(self, part: Literal["support", "query"]) -> tuple[Ints, Ints | None]:
        """All rows of one part, int64 ``[n]``, without padding, and the history limit of each."""
        rows: Ints = getattr(self, part)
        present = rows >= 0
        if self.history_limits is None:
            return rows[present], None
        return rows[present], np.repeat(self.history_limits, present.sum(axis=1))


Similarity = Callable[[EncodedDataset, EpisodeRows], Tensor]


@dataclass(frozen=True)
class Rows:
    """Padded rows of U users.

    Attributes:
        batch: slots ``[U, R, C]``; padding rows hold padding ids.
        labels: float ``[U, R]``, 0 in padding rows; with several tasks ``[U, R, T]``, nan in
            padding rows and if not observed.
        mask: float ``[U, R]``, 1 for a row, 0 for padding.
        hours: float ``[U, R]``, time since the user's first query row; support rows lie before it,
            at 0 or less. None counts as 0 everywhere.
    """

    batch: Batch
    labels: Tensor
    mask: Tensor
    hours: Tensor | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Rows:
        hours = None if self.hours is None else self.hours.to(device, dtype)
        batch, labels = self.batch.to(device, dtype), self.labels.to(device, dtype)
        return Rows(batch, labels, self.mask.to(device, dtype), hours)

    def split(self, users: int) -> list[Rows]:
        """At most `users` users at a time."""
        parts = zip(*(t.split(users) for t in (*self.batch, self.labels, self.mask)), strict=True)
        found = [Rows(Batch(ids, values), labels, mask) for ids, values, labels, mask in parts]
        if self.hours is None:
            return found
        hours = self.hours.split(users)
        return [replace(rows, hours=of) for rows, of in zip(found, hours, strict=True)]


@dataclass(frozen=True)
class Episodes:
    """Support and query rows of U users.

    Attributes:
        similarity: float ``[U, Q, S, M]``, how alike a query row and a support row are, by each of
            M measures; None if nothing asks for it.
    """

    support: Rows
    query: Rows
    similarity: Tensor | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Episodes:
        """Move to `device`, and everything but the ids to `dtype`."""
        similarity = None if self.similarity is None else self.similarity.to(device, dtype)
        return Episodes(self.support.to(device, dtype), self.query.to(device, dtype), similarity)

    def split(self, users: int) -> list[Episodes]:
        """At most `users` users at a time."""
        pairs = zip(self.support.split(users), self.query.split(users), strict=True)
        found = [Episodes(support, query) for support, query in pairs]
        if self.similarity is None:
            return found
        parts = self.similarity.split(users)
        return [replace(some, similarity=of) for some, of in zip(found, parts, strict=True)]


def rows_around(
    users: Ints,
    first: Ints,
    cut: Ints,
    stop: Ints,
    support_size: int,
    query_size: int | None,
    list_offsets: Ints | None = None,
) -> EpisodeRows:
    """Take the last `support_size` rows of ``[first, cut)`` and the first of ``[cut, stop)``.

    Args:
        users, first, cut, stop: int64 ``[U]``; the last three are row positions.
        support_size: maximum support rows per user (S).
        query_size: maximum query rows per user (Q); None takes all.
        list_offsets: as in :class:`EpisodeRows`. With lists, `cut` and `stop` are starts of lists,
            a support set has the latest lists that fit, possibly none, and a query the first lists
            that fit, but at least one.
    """
    if query_size is not None and list_offsets is not None:
        stop, query_size = first_lists(cut, stop, query_size, list_offsets), None
    if query_size is None:
        query_size = int((stop - cut).max(initial=1))
    support = cut[:, None] - support_size + np.arange(support_size)  # [U, S]
    query = cut[:, None] + np.arange(query_size)  # [U, Q]
    support = np.where(support >= first[:, None], support, NO_ROW)
    return EpisodeRows(
        users,
        whole_lists(support, list_offsets),
        np.where(query < stop[:, None], query, NO_ROW),
        list_offsets=list_offsets,
    )


def window_episodes(
    dataset: EncodedDataset,
    window: tuple[int, int],
    support_size: int,
    users: Ints | None = None,
    query_size: int | None = None,
) -> EpisodeRows:
    """Take the window as the query set, and the latest rows before it as the support set.

    A user with more than :data:`MOST_QUERY` such rows has several episodes with the same support
    set, unless rows belong to lists or `query_size` is given.

    Args:
        dataset: the data set.
        window: start and end in percent of each user's rows.
        support_size: maximum support rows per user (S).
        users: the users, all by default; users with an empty window are left out.
        query_size: maximum query rows per user, the first ones; by default all of the window.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
        >>> window_episodes(dataset, (80, 100), support_size=3).support[0].tolist()
        [5, 6, 7]
    """
    users = np.arange(dataset.num_users) if users is None else users
    offsets, lists = dataset.user_offsets, dataset.list_offsets
    cut, stop = (boundaries(offsets, percent, users, lists) for percent in window)
    filled = stop > cut
    users, cut, stop = users[filled], cut[filled], stop[filled]
    if query_size is None and lists is None and int((stop - cut).max(initial=0)) > MOST_QUERY:
        support = rows_around(users, offsets[users], cut, stop, support_size, 1).support
        owner, start = parts_of(cut, stop, MOST_QUERY)
        query = rows_around(users[owner], start, start, stop[owner], 1, MOST_QUERY).query
        return EpisodeRows(users[owner], support[owner], query, since=cut[owner])
    if query_size is not None:  # no wider than the widest window
        query_size = min(query_size, int((stop - cut).max(initial=1)))
    return rows_around(users, offsets[users], cut, stop, support_size, query_size, lists)


def sample_episodes(
    dataset: EncodedDataset,
    window: tuple[int, int],
    support_size: int,
    query_size: int,
    users: Ints,
    generator: np.random.Generator,
) -> EpisodeRows:
    """Like :func:`window_episodes`, but split each user's window at a random row.

    Rows before the split may be in the support set, so that, as at test time, part of it is
    out-of-sample for base models trained on the rows before the window.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> generator = np.random.default_rng(0)
        >>> dataset = planted_world(2, 10, 4, generator).dataset
        >>> sample_episodes(dataset, (60, 80), 3, 2, np.array([0, 1]), generator).query.shape
        (2, 2)
    """
    offsets, lists = dataset.user_offsets, dataset.list_offsets
    start, stop = (boundaries(offsets, percent, users, lists) for percent in window)
    filled = stop > start
    users, start, stop = users[filled], start[filled], stop[filled]
    cut = list_start(lists, generator.integers(start, stop))
    return rows_around(users, offsets[users], cut, stop, support_size, query_size, lists)


def load_rows(dataset: EncodedDataset, rows: Ints, history_limits: Ints | None = None) -> Rows:
    """Read rows ``[U, R]``, -1 for padding, with the limits of :class:`EpisodeRows`."""
    present = rows >= 0
    rows = np.where(present, rows, 0)
    limits = (
        None if history_limits is None else np.broadcast_to(history_limits[:, None], rows.shape)
    )
    batch, labels = dataset.scored_batch(rows, limits), dataset.label(rows)
    mask = torch.from_numpy(present)
    if labels.ndim > mask.ndim:
        labels = labels.masked_fill(~mask.unsqueeze(-1), torch.nan)
    else:
        labels = labels * mask
    return Rows(
        Batch(*(slots.mul_(mask.unsqueeze(-1)) for slots in batch)),
        labels,
        mask.to(batch.values.dtype),
    )


def load_episodes(
    dataset: EncodedDataset,
    rows: EpisodeRows,
    similarity: Similarity | None = None,
    *,
    to_predict: bool = True,
) -> Episodes:
    """Read the support and query rows of episodes.

    Args:
        similarity: how alike rows are, float32 ``[U, Q, S, M]``, if that is needed.
        to_predict: whether query rows are as rows to predict,
            :attr:`EncodedDataset.as_predicted`.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
        >>> episodes = load_episodes(dataset, window_episodes(dataset, (80, 100), support_size=3))
        >>> episodes.support.batch.ids.shape  # users, rows, slots
        torch.Size([4, 3, 4])
    """
    limits = rows.history_limits
    support = load_rows(dataset, rows.support, limits)
    query = load_rows(dataset.as_predicted if to_predict else dataset, rows.query, limits)
    hours = hours_of(dataset, rows.support, rows.query, rows.since)
    alike = None if similarity is None else similarity(dataset, rows)
    return Episodes(replace(support, hours=hours[0]), replace(query, hours=hours[1]), alike)

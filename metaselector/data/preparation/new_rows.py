"""Encode rows that arrive after preparation.

They pass through the same staging, fields and histories as in preparation, except that nothing is
counted or fitted, every labelled row enters histories, and candidates are never dropped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.dataset_files import Writer
from metaselector.data.interactions import Interactions, Ints
from metaselector.data.preparation.cleaning import repeats
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_rows import described, interactions_of
from metaselector.data.preparation.parts import Parts, Settings
from metaselector.data.preparation.plan import EncodingPlan, write_rows
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.staging import Staged, stage, whole_users
from metaselector.data.preparation.staging_types import StagedRows
from metaselector.data.preparation.statistics import Statistics, user_offsets
from metaselector.data.splitting.episodes import NO_ROW, EpisodeRows
from metaselector.data.splitting.lists import whole_lists
from metaselector.data.splitting.windows import Windows

_ALL = Windows(100, 100, 100)
"""Histories are not cut: every labelled row that is strictly earlier counts."""


QUERY, FEW = 2**11, 2**8
"""Most candidates of an episode, and how many are never split."""


class NewRows(NamedTuple):
    """Encoded history and candidate rows.

    Attributes:
        dataset: the rows of each user, sorted by time; the first task's labels of candidates, which
            are unknown, are 0.
        history: int64 ``[H]``, positions of history rows in `dataset`, by user, oldest first,
            without repeats.
        candidates: int64 ``[n]``, positions of candidates, in the order given.
    """

    dataset: EncodedDataset
    history: Ints
    candidates: Ints

    def episodes(self, support_size: int, most: int = QUERY) -> EpisodeRows:
        """Episodes of every user with candidates; the support set is their latest history rows.

        In data with lists, rows of a user and time are a list, and supports have whole lists.

        A user's candidates beyond `most`, or far beyond the average user's, go to further episodes
        with the same support set, so that padding stays in proportion to the rows. The width of the
        support set is at least 1, even without support rows. Hours count from the user's first
        candidate that is later than their history, in all of their episodes.

        Args:
            support_size: maximum support rows of a user (S).
            most: maximum query rows of an episode (Q).
        """
        offsets = self.dataset.user_offsets
        of_history = np.searchsorted(offsets, self.history, side="right") - 1
        asked = np.sort(self.candidates)
        owner = np.searchsorted(offsets, asked, side="right") - 1
        users, start, size = np.unique(owner, return_index=True, return_counts=True)
        mean = -(-len(asked) // max(len(users), 1))
        width = int(min(most, max(4 * mean, FEW), size.max(initial=1)))
        many = -(-size // width)  # episodes of each user
        rank = np.arange(len(asked)) - np.repeat(start, size)
        query = np.full((many.sum(), width), NO_ROW, dtype=np.int64)
        query[np.repeat(np.cumsum(many) - many, size) + rank // width, rank % width] = asked
        first = np.searchsorted(of_history, users, side="left")
        stop = np.searchsorted(of_history, users, side="right")
        place = stop[:, None] - support_size + np.arange(support_size)  # [U, S]
        support = np.append(self.history, NO_ROW)[np.where(place >= first[:, None], place, -1)]
        if not support_size:
            support = np.full((len(users), 1), NO_ROW, dtype=np.int64)
        last = np.where(stop > first, np.append(self.history, NO_ROW)[stop - 1], NO_ROW)
        later = np.maximum(np.searchsorted(asked, last), start)
        since = asked[np.where(later < start + size, later, start)]
        lists = self.dataset.list_offsets
        return EpisodeRows(
            np.repeat(users, many),
            np.repeat(whole_lists(support, lists), many, axis=0),
            query,
            since=np.repeat(since, many),
            list_offsets=lists,
        )


def encode_rows(encoder: FittedEncoder, history: RawRows, candidates: RawRows) -> NewRows:
    """Encode rows of known or new users and items.

    A new user or item takes its field's id for unseen words, and features from `history` or
    `candidates` if they have such columns. The history of every row consists of the positives in
    `history` with a strictly earlier time.

    Args:
        encoder: encoder of the model's data set.
        history: rows with labels, possibly none; rows that repeat the user, item and time of an
            earlier row are dropped, as in preparation.
        candidates: rows to predict, possibly none; their labels are ignored.

    Raises:
        DataError: a column is missing, a value is wrong, or there are no rows at all.
    """
    given = (history, candidates)
    blocks = [
        block
        for part in given
        if len(part)
        for block in interactions_of(encoder, part, labelled=part is history)
    ]
    if encoder.rows.tabular:
        blocks = _counted(blocks, [part.numbers for part in given if len(part)])
    rows, settings = encoder.rows, _settings(encoder)
    nobody = encoder.users.iloc[:0]
    table = encoder.table(history.source, lambda: iter(blocks), nobody, encoder.items.iloc[:0])
    with tempfile.TemporaryDirectory(prefix="metaselector-") as directory:
        scratch, target = Path(directory) / "staged", Path(directory) / "data"
        scratch.mkdir()
        target.mkdir()
        staged = stage(table, scratch, settings.label_threshold)
        users = described(
            encoder.users, rows.user_features, staged.users, rows.column("user"), given, rows.column
        )
        items = encoder.items
        if not rows.tabular:
            items = described(
                items, rows.item_features, staged.items, rows.column("item"), given, rows.column
            )
        table = encoder.table(history.source, table.read, users, items)
        counts = Statistics.empty(table, staged, len(staged))
        plan = EncodingPlan.fit(table, staged, counts, counts.users, settings, encoder.schema)
        groups = list(_without_repeats(staged, len(history)))
        ends = np.cumsum([user_offsets(records)[-1] for records in groups])
        offsets = [user_offsets(g) + end - len(g) for g, end in zip(groups, ends, strict=True)]
        with Writer(target, encoder.schema) as writer:
            writer.append("user_offsets", np.unique(np.concatenate(offsets)))
            if encoder.schema.lists:
                writer.append("list_offsets", _lists(groups))
            parts = Parts(_ALL, histories=not rows.tabular)
            write_rows(writer, plan, staged.users, groups, parts)
        dataset = EncodedDataset.load(target, verify=False).in_memory()
    return _found(dataset, len(history))


def _lists(groups: Sequence[StagedRows]) -> Ints:
    """Start of each user's rows of one time, which count as a list, and the number of rows."""
    user, time = (np.concatenate([group[name] for group in groups]) for name in ("user", "time"))
    starts = np.ones(len(user), dtype=bool)
    starts[1:] = (user[1:] != user[:-1]) | (time[1:] != time[:-1])
    return np.append(np.flatnonzero(starts), len(user)).astype(np.int64)


def _settings(encoder: FittedEncoder) -> Settings:
    schema = encoder.schema
    return Settings(
        label_threshold=schema.label_threshold,
        history_length=schema.history_length,
        min_count=schema.min_count,
    )


def _counted(blocks: list[Interactions], numbers: Sequence[Ints | None]) -> list[Interactions]:
    """Number the rows of tabular data in place of times; `numbers` are those of each part."""
    sizes = [len(block.lines) for block in blocks]
    known = [part for part in numbers if part is not None]
    times = np.concatenate(known) if len(known) == len(numbers) else np.arange(sum(sizes))
    parts = np.split(times, np.cumsum(sizes)[:-1])
    return [block._replace(timestamps=part) for block, part in zip(blocks, parts, strict=True)]


def _without_repeats(staged: Staged, rows_of_history: int) -> Iterator[StagedRows]:
    for records in whole_users(staged):
        from_history = np.flatnonzero(records["row"] < rows_of_history)
        repeated = from_history[repeats(records[from_history])]
        yield np.delete(records, repeated)


def _found(dataset: EncodedDataset, rows_of_history: int) -> NewRows:
    of_candidates = np.flatnonzero(dataset.source_rows >= rows_of_history)
    order = np.argsort(dataset.source_rows[of_candidates])
    return NewRows(
        dataset, np.flatnonzero(dataset.source_rows < rows_of_history), of_candidates[order]
    )

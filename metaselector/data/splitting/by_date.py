"""The global protocol: all users split at the same dates, so that nothing is learned from later."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.blocks import block_starts, tie_starts
from metaselector.data.splitting.dates import Dates, ends_at
from metaselector.data.splitting.drawn import drawn
from metaselector.data.splitting.episodes import EpisodeRows, rows_around
from metaselector.data.splitting.protocol import (
    EvaluationProtocol,
    EvaluationSplit,
    Window,
    with_random_supports,
    with_recent_support,
)


class Arrivals(NamedTuple):
    """Users with rows in a window, int64 each, ascending.

    Attributes:
        known: users who also have rows before the window.
        new: users whose first row lies in the window.
    """

    known: Ints
    new: Ints


class ByDate(EvaluationProtocol):
    """Trains on everybody's rows before a date and tests on the rows after it.

    By default, early base models are trained on the first 60 % of all rows by time, meta-training
    uses rows up to 80 %, validation rows up to 90 %, and the rest is the test. Rows of the same
    time lie on one side of a date. Known users, with rows before the date where the window starts,
    adapt on their most recent ones and have the rest of the window as their query. New users are
    walked through block by block: each block is a query, and its support set is the user's most
    recent rows before it, none for the first block. Histories show no positive after the support
    set. Known and new users have results tables of their own, and one for both.

    Users without rows in a window are left out of it.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
        >>> dates = {"dates": (20_000_000, 30_000_000, 35_000_000)}  # users follow each other
        >>> dated = replace(dataset, schema=dataset.schema.model_copy(update=dates))
        >>> [split.folder for split in ByDate(dated, Config(protocol="global")).evaluation_splits]
        ['known']
    """

    def __init__(self, dataset: EncodedDataset, config: Config) -> None:
        super().__init__(dataset, config)
        assert dataset.schema.dates is not None
        self.dates = Dates(*dataset.schema.dates)
        self._ends = {
            name: ends_at(dataset.user_offsets, dataset.timestamps, date)
            for name, date in self.dates._asdict().items()
        }
        self._ends["test"] = dataset.user_offsets[1:]
        positives = np.cumsum(dataset.labels == 1, dtype=np.int64)
        self._positives_before = np.concatenate([[0], positives])
        self._tie_starts = tie_starts(dataset)

    def fitting_rows(self, window: Window) -> Ints:
        return self._rows(None, {"early": "early", "train": "train", "full": "valid"}[window])

    def stopping_rows(self) -> Ints:
        return self._rows("train", "valid")

    def arrivals(self, start: str, stop: str) -> Arrivals:
        """Users with rows in the window between two of early, train, valid and test.

        Some of them, if the settings limit the users of *valid* and *test*.
        """
        first, ends = self._ends[start], self._ends[stop]
        inside = np.flatnonzero(ends > first)
        if start != "early":
            # The same in *valid* and *test*, since per-user combiners learn on *valid*.
            either = np.flatnonzero(self._ends["test"] > self._ends["train"])
            inside = inside[np.isin(inside, drawn(either, self.config.evaluate.max_users))]
        before = (first > self.dataset.user_offsets[:-1])[inside]
        return Arrivals(inside[before], inside[~before])

    @property
    def learners(self) -> Ints:
        return np.sort(np.concatenate(self.arrivals("early", "train")))

    def sample(self, users: Ints, generator: np.random.Generator) -> EpisodeRows:
        """Sample episodes whose query lies between the dates of *early* and *train*.

        The support set of a known user ends as ``meta_train.support_boundary`` says, that of a
        user whose first row lies in the window before a random row of it, so it may be empty. Some
        are then shortened to ``adapt.support_sizes``. No support row has the time of a query row.
        """
        start, stop = self._ends["early"][users], self._ends["train"][users]
        filled = stop > start
        users, start, stop = users[filled], start[filled], stop[filled]
        cut = self._tie_starts[generator.integers(start, stop)]
        if self.config.meta_train.support_boundary == "start":
            cut = np.where(start > self.dataset.user_offsets[users], start, cut)
        found = self._episodes(users, cut, stop, self.config.meta_train.query_size)
        return with_random_supports(found, self.config.adapt.support_sizes, generator)

    @property
    def nothing_to_learn(self) -> str:
        return (
            "no user has rows between the dates of early and train to meta-train on; widen "
            "split.early to split.train"
        )

    @cached_property
    def evaluation_splits(self) -> tuple[EvaluationSplit, ...]:
        every, new = self.overall.valid, self._new("train", "valid")
        # Users that are new in *valid* are known in the test, so combiners need their rows too.
        known = EvaluationSplit("global-date-known", "known", every, self._known("valid", "test"))
        arrived = EvaluationSplit(
            "global-date-new",
            "new",
            new if len(new.users) else every,
            self._new("valid", "test"),
            support_is_unseen=True,
        )
        return tuple(split for split in (known, arrived) if len(split.test.users))

    @cached_property
    def overall(self) -> EvaluationSplit:
        """All users, known and new."""
        return EvaluationSplit(
            "global-date", ".", self._every("train", "valid"), self._every("valid", "test")
        )

    def test_episodes(self, support_rows: int) -> EpisodeRows:
        """Episodes of the first results table, of known users if there are any."""
        return with_recent_support(self.evaluation_splits[0].test, support_rows)

    def _rows(self, start: str | None, stop: str) -> Ints:
        times = self.dataset.timestamps
        inside = times < getattr(self.dates, stop)
        if start is not None:
            inside &= times >= getattr(self.dates, start)
        return np.flatnonzero(inside)

    def _known(self, start: str, stop: str) -> EpisodeRows:
        return self._episodes(*self._known_cuts(start, stop), None)

    def _new(self, start: str, stop: str) -> EpisodeRows:
        return self._episodes(*self._new_cuts(start, stop), None)

    def _every(self, start: str, stop: str) -> EpisodeRows:
        """The episodes of known and new users, in the order of their rows."""
        cuts = zip(self._known_cuts(start, stop), self._new_cuts(start, stop), strict=True)
        users, cut, ends = (np.concatenate(pair) for pair in cuts)
        order = np.argsort(cut)
        return self._episodes(users[order], cut[order], ends[order], None)

    def _known_cuts(self, start: str, stop: str) -> tuple[Ints, Ints, Ints]:
        """User, first query row and end of the query of each episode, int64 ``[E]`` each."""
        users = self.arrivals(start, stop).known
        return users, self._ends[start][users], self._ends[stop][users]

    def _new_cuts(self, start: str, stop: str) -> tuple[Ints, Ints, Ints]:
        """The same for the blocks of users whose first row lies in the window."""
        users = self.arrivals(start, stop).new
        first, stops = self.dataset.user_offsets[users], self._ends[stop][users]
        place, cut = block_starts(first, stops, self._tie_starts)
        last = np.diff(place, append=len(users)) != 0
        ends = np.where(last, stops[place], np.roll(cut, -1))
        return users[place], cut, ends

    def _episodes(self, users: Ints, cut: Ints, stop: Ints, query_size: int | None) -> EpisodeRows:
        first = self.dataset.user_offsets[users]
        size = self.config.adapt.support_size
        rows = rows_around(users, first, cut, stop, size, query_size, self.dataset.list_offsets)
        limits = self._positives_before[cut] - self._positives_before[first]
        return replace(rows, history_limits=limits)

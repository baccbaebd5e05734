"""The cold protocol: new users that base models have never seen."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from metaselector.common.errors import UserError
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.drawn import drawn
from metaselector.data.splitting.episodes import (
    EpisodeRows,
    rows_around,
)
from metaselector.data.splitting.lists import list_start, some_lists
from metaselector.data.splitting.protocol import EvaluationProtocol, EvaluationSplit, Window
from metaselector.data.splitting.windows import row_draws, rows_of, user_places


class Cold(EvaluationProtocol):
    """Trains base models on all rows of some users and tests on others.

    In order of :func:`~metaselector.data.splitting.windows.user_places`, by default, early base
    models are trained on the first 60 % of users, meta-training uses users up to 80 %, validation
    users up to 90 %, and the rest are test users. A user's first n rows are the support set, all
    later rows the query set, and histories show no positive after the support set. All but the
    first 60 % of users share the out-of-vocabulary user id. Each n has its own results table, which
    leaves out users with at most n rows. Of rows that were shown together, as lists, the support
    set has the first lists that fit into n rows.

    Training sees rows as they look in the test: histories in the base models' training rows show no
    positive after the first n rows either, with n drawn per row by
    :func:`~metaselector.data.splitting.windows.row_draws`.
    """

    def __init__(self, dataset: EncodedDataset, config: Config) -> None:
        super().__init__(dataset, config)
        self._places = user_places(dataset.user_names, config.cold.split_seed)
        self._sizes = np.array(config.cold.support_sizes)
        small = np.array(config.adapt.support_sizes, dtype=np.int64)
        self._learning_sizes = np.union1d(self._sizes, small)
        positives = np.cumsum(dataset.labels == 1, dtype=np.int64)
        self._positives_before = np.concatenate([[0], positives])

    @cached_property
    def fitting_dataset(self) -> EncodedDataset:
        dataset, offsets, seed = (
            self.dataset,
            self.dataset.user_offsets,
            self.config.cold.split_seed,
        )
        first, stop = offsets[dataset.users], offsets[dataset.users + 1]
        drawn = row_draws(dataset.user_names, offsets, seed, len(self._sizes))
        cut = list_start(dataset.list_offsets, np.minimum(first + self._sizes[drawn], stop))
        shown = np.minimum(
            dataset.history_sizes, self._positives_before[cut] - self._positives_before[first]
        )
        return replace(dataset, history_sizes=shown.astype(dataset.history_sizes.dtype))

    def users(self, start: int, stop: int) -> Ints:
        """Users between the given percentages, int64, ascending.

        Raises:
            UserError: there are none.
        """
        found = np.flatnonzero((self._places >= start) & (self._places < stop))
        if not len(found):
            raise UserError(
                f"none of the {self.dataset.num_users:,} users falls between {start} and {stop} "
                "percent of the users; provide more users, or try another cold.split_seed"
            )
        return found

    def fitting_rows(self, window: Window) -> Ints:
        cold = self.config.cold
        end = {"early": cold.early, "train": cold.train, "full": cold.valid}[window]
        return rows_of(self.dataset.user_offsets, self.users(0, end))

    def stopping_rows(self) -> Ints:
        cold = self.config.cold
        return rows_of(self.dataset.user_offsets, self.users(cold.train, cold.valid))

    @property
    def learners(self) -> Ints:
        # They are few, so each occurs once per support size.
        users = self.users(self.config.cold.early, self.config.cold.train)
        return np.repeat(users, len(self._sizes))

    def sample(self, users: Ints, generator: np.random.Generator) -> EpisodeRows:
        sizes = self._learning_sizes
        possible = sizes.searchsorted(self._num_rows(users))  # sizes that leave a query
        users, possible = users[possible > 0], possible[possible > 0]
        episodes = self._episodes(users, sizes[generator.integers(possible)])
        later, size = episodes.query, self.config.meta_train.query_size
        keys = np.where(later >= 0, generator.random(later.shape), np.inf)
        if episodes.list_offsets is not None:
            return replace(episodes, query=some_lists(later, keys, size, episodes.list_offsets))
        drawn = np.sort(keys.argsort(axis=1)[:, :size], axis=1)
        return replace(episodes, query=np.take_along_axis(later, drawn, axis=1))

    @property
    def nothing_to_learn(self) -> str:
        return (
            f"no meta-training user has more than {self._learning_sizes[0]} rows; use smaller "
            "cold.support_sizes, or widen cold.early to cold.train"
        )

    @cached_property
    def evaluation_splits(self) -> tuple[EvaluationSplit, ...]:
        cold = self.config.cold
        return tuple(
            EvaluationSplit(
                name=f"cold-{size}",
                folder=f"support-{size}",
                valid=self._first_rows(cold.train, cold.valid, size),
                test=self.test_episodes(size),
                support_is_unseen=True,
            )
            for size in cold.support_sizes
        )

    def test_episodes(self, support_rows: int) -> EpisodeRows:
        """Episodes of *test* users: their first `support_rows` rows, then all later ones.

        Each number has its own users and queries; users with at most `support_rows` rows are left
        out.
        """
        return self._first_rows(self.config.cold.valid, 100, support_rows)

    def _first_rows(self, start: int, stop: int, size: int) -> EpisodeRows:
        users = self.users(start, stop)
        users = users[self._num_rows(users) > size]
        if not len(users):
            raise UserError(
                f"no user between {start} and {stop} percent of the users has more than {size} "
                f"rows; leave {size} out of cold.support_sizes"
            )
        users = drawn(users, self.config.evaluate.max_users)
        return self._episodes(users, np.full(len(users), size))

    def _episodes(self, users: Ints, sizes: Ints) -> EpisodeRows:
        first, stop = self.dataset.user_offsets[users], self.dataset.user_offsets[users + 1]
        lists, most = self.dataset.list_offsets, int(sizes.max(initial=1))
        cut = list_start(lists, first + sizes)
        rows = rows_around(users, first, cut, stop, most, None, lists)
        limits = self._positives_before[cut] - self._positives_before[first]
        return replace(rows, history_limits=limits)

    def _num_rows(self, users: Ints) -> Ints:
        return np.diff(self.dataset.user_offsets)[users]

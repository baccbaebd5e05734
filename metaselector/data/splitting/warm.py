"""The warm protocol: known users, split by time."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from metaselector.data.interactions import Ints
from metaselector.data.splitting.drawn import drawn
from metaselector.data.splitting.episodes import (
    EpisodeRows,
    sample_episodes,
    window_episodes,
)
from metaselector.data.splitting.protocol import (
    EvaluationProtocol,
    EvaluationSplit,
    Window,
    with_random_supports,
)
from metaselector.data.splitting.windows import window_rows


class Warm(EvaluationProtocol):
    """Splits each user's rows by time: by default the first 80 % are *train*, 90 % end *valid*.

    A list of rows that were shown together lies in one window, the later one of those it touches.
    """

    def fitting_rows(self, window: Window) -> Ints:
        split = self.config.split
        end = {"early": split.early, "train": split.train, "full": split.valid}[window]
        return window_rows(self.dataset.user_offsets, 0, end, self.dataset.list_offsets)

    def stopping_rows(self) -> Ints:
        split = self.config.split
        edges = split.train, split.valid
        return window_rows(self.dataset.user_offsets, *edges, self.dataset.list_offsets)

    @property
    def learners(self) -> Ints:
        return np.arange(self.dataset.num_users)

    def sample(self, users: Ints, generator: np.random.Generator) -> EpisodeRows:
        split, size = self.config.split, self.config.adapt.support_size
        window, settings = (split.early, split.train), self.config.meta_train
        if settings.support_boundary == "start":
            found = window_episodes(self.dataset, window, size, users, settings.query_size)
        else:
            query_size = settings.query_size
            found = sample_episodes(self.dataset, window, size, query_size, users, generator)
        return with_random_supports(found, self.config.adapt.support_sizes, generator)

    @property
    def nothing_to_learn(self) -> str:
        split = self.config.split
        return (
            f"no user has rows between {split.early} and {split.train} percent of their rows to "
            "meta-train on; widen split.early to split.train, or provide more rows per user"
        )

    @cached_property
    def evaluation_splits(self) -> tuple[EvaluationSplit, ...]:
        split, size = self.config.split, self.config.adapt.support_size
        # The same in both, since per-user combiners learn on *valid*.
        users = drawn(np.arange(self.dataset.num_users), self.config.evaluate.max_users)
        valid, test = (
            window_episodes(self.dataset, window, size, users)
            for window in ((split.train, split.valid), (split.valid, 100))
        )
        return (EvaluationSplit("warm-chronological", ".", valid, test),)

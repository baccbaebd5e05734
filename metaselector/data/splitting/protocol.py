"""The contract of evaluation protocols: which users and rows each step of a run may use.

:mod:`metaselector.data.splitting.warm`, :mod:`metaselector.data.splitting.cold` and
:mod:`metaselector.data.splitting.by_date` implement it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows

Window = Literal["early", "train", "full"]
"""Which base models: meta-training uses the early ones, validation those fitted on *train*, and the
results table the full ones, refitted on *train* and *valid*."""
WINDOWS: tuple[Window, ...] = ("early", "train", "full")


@dataclass(frozen=True)
class EvaluationSplit:
    """The episodes behind one results table.

    Attributes:
        name: value of the table's column ``protocol``.
        folder: folder of the table's files, relative to the run directory.
        valid: episodes predicted by base models fitted on *train*; selectors are validated on them,
            and combiners are fitted on their query rows.
        test: episodes predicted by the full base models. A user may have several, if each is later
            than the one before; query rows ascend.
        support_is_unseen: whether base models were not trained on the support rows. If so, per-user
            combiners are tuned on the episodes of `valid` and fitted on the support of `test`;
            otherwise they are fitted on the query rows of `valid`, like the others.
    """

    name: str
    folder: str
    valid: EpisodeRows
    test: EpisodeRows
    support_is_unseen: bool = False


class EvaluationProtocol(ABC):
    """A protocol applied to one prepared data set, whose order of users and rows it uses."""

    def __init__(self, dataset: EncodedDataset, config: Config) -> None:
        self.dataset, self.config = dataset, config

    @property
    def fitting_dataset(self) -> EncodedDataset:
        """The data set that base models are trained on."""
        return self.dataset

    @abstractmethod
    def fitting_rows(self, window: Window) -> Ints:
        """Training rows of the base models of `window`, int64."""

    @abstractmethod
    def stopping_rows(self) -> Ints:
        """Rows for early stopping of the base models of early and *train*, int64."""

    @property
    @abstractmethod
    def learners(self) -> Ints:
        """Users of one epoch of meta-training, with repeats, int64."""

    @abstractmethod
    def sample(self, users: Ints, generator: np.random.Generator) -> EpisodeRows:
        """Sample meta-training episodes of `users`, out-of-sample for the early base models.

        Users with too few rows are left out.
        """

    @property
    @abstractmethod
    def nothing_to_learn(self) -> str:
        """The error message if no user has rows to meta-train on."""

    @property
    @abstractmethod
    def evaluation_splits(self) -> tuple[EvaluationSplit, ...]:
        """One split per results table."""

    @property
    def overall(self) -> EvaluationSplit:
        """The split whose users the user explorer shows: the last one, or all splits together."""
        return self.evaluation_splits[-1]

    @property
    def most_support_rows(self) -> int:
        """The largest number of support rows in :attr:`evaluation_splits`."""
        return int(self.evaluation_splits[-1].test.support.shape[1])

    def test_episodes(self, support_rows: int) -> EpisodeRows:
        """Episodes of *test* with at most `support_rows` support rows, from 0 upwards.

        For known users, these are the most recent of the rows in :attr:`evaluation_splits`, and the
        query is the same for every number.
        """
        return with_recent_support(self.evaluation_splits[-1].test, support_rows)


def with_recent_support(episodes: EpisodeRows, n: int) -> EpisodeRows:
    """Keep only the `n` most recent support rows of each user.

    Example:
        >>> episodes = EpisodeRows(np.array([0]), np.array([[3, 4, 5]]), np.array([[6]]))
        >>> with_recent_support(episodes, 2).support.tolist()
        [[4, 5]]
    """
    return episodes.most_recent(n)  # episodes have at least one place for a row


def with_random_supports(
    rows: EpisodeRows, sizes: Sequence[int], generator: np.random.Generator
) -> EpisodeRows:
    """Give half of the users, at random, only so many of their most recent support rows.

    Args:
        sizes: the numbers to draw from; none leaves all supports as they are.

    Example:
        >>> support = np.arange(10).reshape(2, 5)
        >>> rows = EpisodeRows(np.array([0, 1]), support, np.array([[10], [11]]))
        >>> with_random_supports(rows, (1,), np.random.default_rng(0)).support.tolist()
        [[0, 1, 2, 3, 4], [-1, -1, -1, -1, 9]]
    """
    if not len(sizes):
        return rows
    users, width = rows.support.shape
    drawn = generator.choice(np.asarray(sizes), users)
    return rows.most_recent(np.where(generator.random(users) < 0.5, drawn, width))

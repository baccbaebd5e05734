"""Which rows and which users' rows every step of a run may use, behind one contract.

:mod:`metaselector.data.splitting.warm` has those there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows

Window = Literal["early", "train", "full"]
"""Which base models: meta-training is against the early ones, validation against those of *train*,
and the table is made with the full ones, refitted on *train* and *valid*."""
WINDOWS: tuple[Window, ...] = ("early", "train", "full")


@dataclass(frozen=True)
class EvaluationSplit:
    """What one table of results is about.

    Attributes:
        name: what the table's column ``protocol`` says.
        folder: where the table's files are, in the run's directory.
        valid: episodes that base models of *train* predict: selectors are validated on them, and
            combiners fitted on their queries.
        test: episodes that the full base models predict.
        support_is_unseen: the base models have not been trained on the support rows, so that
            combiners by user are tuned on the episodes of `valid` and fitted on the support of
            `test`; otherwise they are fitted on the queries of `valid` like the others.
    """

    name: str
    folder: str
    valid: EpisodeRows
    test: EpisodeRows
    support_is_unseen: bool = False


class EvaluationProtocol(ABC):
    """Answers for one prepared data set; users and rows are in its order."""

    def __init__(self, dataset: EncodedDataset, config: Config) -> None:
        self.dataset, self.config = dataset, config

    @property
    def fitting_dataset(self) -> EncodedDataset:
        """The data set as base models are trained on it."""
        return self.dataset

    @abstractmethod
    def fitting_rows(self, window: Window) -> Ints:
        """Rows that the base models of `window` are fitted on."""

    @abstractmethod
    def stopping_rows(self) -> Ints:
        """Rows that stop the training of early base models, and those of *train*, early."""

    @property
    @abstractmethod
    def learners(self) -> Ints:
        """Users of the episodes of one epoch of meta-training, with repeats."""

    @abstractmethod
    def sample(self, users: Ints, generator: np.random.Generator) -> EpisodeRows:
        """Episodes of `users` to meta-train on, out-of-sample for the early base models.

        Users with too few rows are left out.
        """

    @property
    @abstractmethod
    def nothing_to_learn(self) -> str:
        """What is wrong, and what to do, where no user has rows to meta-train on."""

    @property
    @abstractmethod
    def evaluation_splits(self) -> tuple[EvaluationSplit, ...]:
        """The tables of results."""

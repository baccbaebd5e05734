"""Compare candidates on blocks of users, and give up early on those that are clearly worse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from metaselector.data.splitting.episodes import EpisodeRows

BLOCKS = (0.125, 0.25, 0.5)
"""Shares of the users after which a candidate may be given up."""
SURE = 3.0
"""Standard errors by which it must then be worse than the best one so far."""
FEWEST_USERS = 100
"""Blocks with fewer users are not judged: their standard errors mean little."""


class Race:
    """The best loss so far on a set of users, and whether a candidate can still beat it.

    Differences are paired: both predict the same rows of the same users, who are drawn into blocks
    at random. With normal differences, one better candidate in 740 is given up at each block.

    Args:
        episodes: of all users.

    Example:
        >>> rows = np.arange(200).reshape(200, 1)
        >>> race = Race(EpisodeRows(np.arange(200), rows, rows))
        >>> race.run(lambda block: np.zeros(len(block.users)))
        0.0
        >>> race.run(lambda block: np.ones(len(block.users)))
        inf
    """

    def __init__(self, episodes: EpisodeRows) -> None:
        users = len(episodes.users)
        order = np.random.default_rng(1).permutation(users)
        ends = [round(share * users) for share in BLOCKS]
        cuts = [end for end in ends if end >= FEWEST_USERS]
        self._blocks = [episodes.some(np.sort(part)) for part in np.split(order, cuts)]
        self._best: list[NDArray[np.float64]] = []
        self._lowest = math.inf

    @property
    def has_run(self) -> bool:
        """Whether there is a candidate to beat."""
        return bool(self._best)

    def run(self, losses: Callable[[EpisodeRows], NDArray[np.float64]]) -> float:
        """Mean loss of a candidate over all rows.

        Args:
            losses: of each query row of some episodes, user after user.

        Returns:
            The mean; infinity if the candidate was given up.
        """
        found: list[NDArray[np.float64]] = []
        for block in self._blocks:
            found.append(losses(block))
            if len(found) < len(self._blocks) and self._best and self._hopeless(found):
                return math.inf
        loss = float(np.concatenate(found).mean())
        if loss < self._lowest:
            self._best, self._lowest = found, loss
        return loss

    def _hopeless(self, found: Sequence[NDArray[np.float64]]) -> bool:
        by_user = [
            np.add.reduceat(now - best, _starts(block))
            for now, best, block in zip(found, self._best, self._blocks, strict=False)
        ]
        sums = np.concatenate(by_user)
        error = math.sqrt(len(sums)) * sums.std(ddof=1)
        return bool(sums.sum() > SURE * error and sums.sum() > 0)


def _starts(episodes: EpisodeRows) -> NDArray[np.int64]:
    """Where each user's query rows begin among those of all."""
    sizes = (episodes.query >= 0).sum(axis=1)
    starts: NDArray[np.int64] = np.cumsum(sizes) - sizes
    return starts

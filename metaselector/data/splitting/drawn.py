"""Some users of many, for figures that all users would take too long to measure."""

from __future__ import annotations

import numpy as np

from metaselector.data.splitting.episodes import EpisodeRows


def some_users(episodes: EpisodeRows, most: int) -> EpisodeRows:
    """The episodes of at most `most` users, drawn at random but the same in every call.

    Example:
        >>> rows = EpisodeRows(np.array([0, 0, 1, 2]), np.zeros((4, 1), int), np.ones((4, 1), int))
        >>> len(np.unique(some_users(rows, 2).users))
        2
    """
    users = np.unique(episodes.users)
    if len(users) <= most:
        return episodes
    drawn = users[np.random.default_rng(0).permutation(len(users))[:most]]
    return episodes.some(np.flatnonzero(np.isin(episodes.users, drawn)))

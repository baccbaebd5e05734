"""Some users of many, for what all users would take too long to measure."""

from __future__ import annotations

import numpy as np

from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows


def drawn(users: Ints, most: int | None) -> Ints:
    """At most `most` of the users, drawn at random; None takes all.

    Every user has a place in the draw that depends on nothing else, so of fewer users, those who
    were drawn before are drawn again.

    Args:
        users: int64 ``[U]``, ascending.
        most: how many.

    Example:
        >>> import numpy as np
        >>> drawn(np.arange(100), 3).tolist()
        [3, 11, 92]
        >>> drawn(np.arange(93), 3).tolist()
        [3, 11, 92]
    """
    if most is None or len(users) <= most:
        return users
    places = np.random.default_rng(0).random(int(users[-1]) + 1)[users]
    return np.sort(users[np.argsort(places)[:most]])


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
    return episodes.some(np.flatnonzero(np.isin(episodes.users, drawn(users, most))))

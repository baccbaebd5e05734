"""Which support rows users keep when adaptation is measured on few rows."""

from __future__ import annotations

import numpy as np

from benchmarks.few_rows import most_recent
from metaselector.data.splitting.episodes import NO_ROW, EpisodeRows


def test_the_most_recent_rows_are_kept() -> None:
    support = np.array([[1, 2, 3], [NO_ROW, NO_ROW, 7]])
    episodes = EpisodeRows(np.arange(2), support, np.array([[4], [8]]))
    assert most_recent(episodes, 2).support.tolist() == [[2, 3], [NO_ROW, 7]]
    assert most_recent(episodes, 9).support.tolist() == support.tolist()
    none = most_recent(episodes, 0)
    assert none.support.tolist() == [[NO_ROW], [NO_ROW]]
    assert none.query.tolist() == episodes.query.tolist()

"""Turn ratings into a funnel of two tasks: was the item watched, and if so, liked?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from metaselector.data.interactions import Interactions, InteractionTable, Negatives, Task
from metaselector.data.public.official import OfficialFolder

TASKS = (Task("watched", 1.0, flag=True), Task("liked", after="watched"))
NEGATIVES = Negatives(1, "popularity", once=True)


@dataclass(frozen=True)
class Funnel:
    """The files of `ratings`, read as a funnel by :func:`as_funnel`."""

    ratings: OfficialFolder

    @property
    def licence(self) -> str:
        return self.ratings.licence

    @property
    def expected(self) -> str:
        return self.ratings.expected

    def read(self, path: Path) -> InteractionTable:
        """Read a directory or file; raises like :meth:`OfficialFolder.read`."""
        return as_funnel(self.ratings.read(path))


def as_funnel(ratings: InteractionTable) -> InteractionTable:
    """Convert a table of ratings to the tasks *watched* and *liked*.

    *Watched* is 1 for every rating, and 0 for one sampled item per rating, drawn from the items
    that the user never rated, in proportion to their ratings and at most once per user. *Liked* is
    whether the rating reaches the setting ``data.label_threshold``; sampled rows do not have it.

    A sampled row directly follows its rating, with the same user, time and history. The history is
    what the user *watched* before, whatever the rating, so it leaks no label of the second task. If
    a window of a user's rows ends at an odd rank, it separates a rating from its sampled row: at
    most one rating per user and boundary, and the rating comes first.

    What was watched is only known from ratings, so an item that was watched but never rated may be
    sampled.
    """
    return replace(ratings, tasks=TASKS, negatives=NEGATIVES, read=partial(_with_watched, ratings))


def _with_watched(ratings: InteractionTable) -> Iterator[Interactions]:
    for block in ratings.read():
        watched = np.ones((len(block.labels), 1))
        yield block._replace(labels=np.concatenate([watched, block.labels], axis=1))  # [n, 2]

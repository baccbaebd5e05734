"""Ratings as a funnel of two tasks: was the item watched, and if so, was it liked?"""

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
    """The same files as those of `ratings`, read by :func:`as_funnel`."""

    ratings: OfficialFolder

    @property
    def licence(self) -> str:
        return self.ratings.licence

    @property
    def expected(self) -> str:
        return self.ratings.expected

    def read(self, path: Path) -> InteractionTable:
        """Read what is found at `path`; raises as :meth:`OfficialFolder.read`."""
        return as_funnel(self.ratings.read(path))


def as_funnel(ratings: InteractionTable) -> InteractionTable:
    """A table of ratings with the tasks *watched* and *liked*.

    *Watched* is 1 for every rating, and 0 for one item a rating that is sampled from those that the
    user never rated, in proportion to their ratings and at most once for a user. *Liked* is whether
    the rating reaches the setting ``data.label_threshold``; a sampled row does not have it.

    A sampled row has the user, the time and so the history of its rating, whose next row it is. The
    history is what the user had *watched* before, whatever the rating, so that it tells no label of
    the second task. Where a window of a user's rows ends at an odd rank, the two fall on either
    side of it: one rating a user and boundary at most, with the rating first.

    What was watched is only known from ratings: an item that was watched and never rated may be
    sampled.
    """
    return replace(ratings, tasks=TASKS, negatives=NEGATIVES, read=partial(_with_watched, ratings))


def _with_watched(ratings: InteractionTable) -> Iterator[Interactions]:
    for block in ratings.read():
        watched = np.ones((len(block.labels), 1))
        yield block._replace(labels=np.concatenate([watched, block.labels], axis=1))  # [n, 2]

"""What is said of a log whose times tell little of the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MANY_TIED = 0.2
"""Share of rows whose time their user has twice, from which it is said."""


class TimeOrder(NamedTuple):
    """How far times order the rows of a log, without repeated ones.

    Attributes:
        rows: how many there are.
        tied: how many share their time with another row of their user.
        early: how many come in the file before an older row of their user.
        dates: whether all times are midnight.
    """

    rows: int
    tied: int
    early: int
    dates: bool

    def about_ties(self) -> Iterator[str]:
        """A sentence where the file decides much of the order; of dates, where it does of any."""
        if self.tied and (self.dates or self.tied >= MANY_TIED * self.rows):
            dates = ", for all times are dates" if self.dates else ""
            shuffled = ", which is not in order of time" if self.early else ""
            yield (
                f"{100 * self.tied / self.rows:.3g} % of the rows ({self.tied:,} of {self.rows:,}) "
                f"share their time with another row of their user{dates}: the order among these is "
                f"the file's{shuffled}; if it is not that of time, bring exact times"
            )

    def about_order(self) -> Iterator[str]:
        """A sentence where the file is not in order of time, which :meth:`about_ties` tells too."""
        if self.early and not any(self.about_ties()):
            yield (
                f"{self.early:,} of {self.rows:,} rows come in the file before an older row of "
                "their user; this does no harm, for each user's rows are put in order of time"
            )

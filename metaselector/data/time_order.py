"""Notes about logs whose times do not determine the order of their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MANY_TIED = 0.2
"""Share of rows with a tied time from which a note is issued."""


class TimeOrder(NamedTuple):
    """How far times determine the order of the rows of a log, repeated rows excluded.

    Attributes:
        rows: number of rows.
        tied: rows that share their time with another row of their user.
        early: rows that come in the file before an older row of their user.
        dates: whether all times are midnight, UTC.
    """

    rows: int
    tied: int
    early: int
    dates: bool
    of: str = "rows"
    """What was counted: rows, or lists, of which the first row counts."""

    def about_ties(self) -> Iterator[str]:
        """Yield a note if many times are tied, or if any are and all times are dates."""
        if self.tied and (self.dates or self.tied >= MANY_TIED * self.rows):
            dates = ", as all times are dates" if self.dates else ""
            shuffled = ", which is not sorted by time" if self.early else ""
            yield (
                f"{100 * self.tied / self.rows:.3g} % of the {self.of} ({self.tied:,} of "
                f"{self.rows:,}) share their time with another row of their user{dates}: these "
                f"keep the order of the file{shuffled}; if that order is wrong, provide exact times"
            )

    def about_order(self) -> Iterator[str]:
        """Yield a note if the file is not sorted by time and times are not tied."""
        if self.early and not any(self.about_ties()):
            yield (
                f"{self.early:,} of {self.rows:,} {self.of} come in the file before an older row "
                "of their user; this does no harm, because each user's rows are sorted by time"
            )

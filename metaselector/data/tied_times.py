"""What is said of a log whose times tell little of the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MANY_TIED = 0.2
"""Share of rows with a time that their user has twice, from which it is said."""


def about_ties(rows: int, tied: int, dates: bool) -> Iterator[str]:
    """A sentence where times leave much of the order open.

    Args:
        rows: how many there are.
        tied: how many share their time with another row of their user.
        dates: whether all times are midnight; then any tie is worth saying.
    """
    if tied and (dates or tied >= MANY_TIED * rows):
        yield (
            f"{100 * tied / rows:.3g} % of the rows ({tied:,} of {rows:,}) share their time with "
            f"another row of their user{', for all times are dates' if dates else ''}: the order "
            "among these is the file's; bring exact times, or make sure that the file is in order "
            "of time"
        )


class InOrder:
    """Counts the rows of a log that are older than the row before them."""

    def __init__(self) -> None:
        self.rows = self.backwards = 0
        self._last = np.zeros(0, dtype=np.int64)

    def add(self, times: NDArray[np.int64]) -> None:
        """Add the times ``[n]`` of the next rows."""
        self.rows += len(times)
        self.backwards += int((np.diff(times, prepend=self._last) < 0).sum())
        self._last = times[-1:].copy()

    def about(self, path: Path) -> Iterator[str]:
        """A sentence where there are such rows."""
        if self.backwards:
            yield (
                f"{path}: {self.backwards:,} of {self.rows:,} rows are older than the row before "
                "them; this does no harm, for each user's rows are put in order of time"
            )

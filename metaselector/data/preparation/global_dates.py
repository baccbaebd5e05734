"""Dates for a split of all users at the same times, found before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from metaselector.common.errors import DataError
from metaselector.data.interactions import InteractionTable, Ints
from metaselector.data.microseconds import as_text
from metaselector.data.preparation.staging_types import StagedRows
from metaselector.data.splitting.dates import Dates
from metaselector.data.splitting.windows import Windows

_FIRST_REAL = np.datetime64("1980-01-01", "us").astype(np.int64)
"""If all times are earlier, they count rows or days instead of telling when something happened."""
_AT_ONCE = 2**20
"""Times counted at once."""
_REFUSED = "protocol=global splits everybody's rows at a date, "


def check_times(table: InteractionTable) -> None:
    """Refuse data in which some rows have no time of their own.

    Raises:
        DataError: the table is tabular, or its negatives are sampled.
    """
    if table.tabular:
        raise DataError(
            table.source, f"{_REFUSED}and this data has no times; use protocol=warm or cold"
        )
    if table.negatives is not None:
        raise DataError(
            table.source,
            f"{_REFUSED}but sampled negatives are drawn from the items of all dates; put negatives "
            "into the file, or use protocol=warm or cold",
        )


def find_dates(
    table: InteractionTable,
    groups: Iterable[StagedRows],
    scratch: Path,
    windows: Windows,
    given: Dates | None = None,
) -> tuple[Dates, int]:
    """Find the dates that end the given percentages of all rows, unless they are given.

    Times are collected in a file, which bounds memory.

    Args:
        table: the table, for messages.
        groups: its cleaned records.
        scratch: an existing directory.
        windows: ends in percent of the rows.
        given: the dates, if they are known.

    Returns:
        The dates, and the number of rows in *train*.

    Raises:
        DataError: the times look like ranks, or a window has no rows.
    """
    path = scratch / "times"
    with path.open("wb") as file:
        for records in groups:
            file.write(np.ascontiguousarray(records["time"]).data)
    times: Ints = np.memmap(path, np.int64, mode="r+")
    check_real(table, int(times.max()))
    dates = given or Dates.at(times, windows)
    pieces = (times[start : start + _AT_ONCE] for start in range(0, len(times), _AT_ONCE))
    sizes = sum((dates.window_sizes(piece) for piece in pieces), np.zeros(4, dtype=np.int64))
    _check_sizes(table, dates, sizes)
    return dates, int(sizes[:2].sum())


def check_real(table: InteractionTable, latest: int) -> None:
    """Refuse times that look like ranks, which do not compare between users.

    Args:
        table: the table, for the message.
        latest: the latest time of all rows.

    Raises:
        DataError: all times are before 1980.
    """
    if latest < _FIRST_REAL:
        raise DataError(
            table.source,
            f"{_REFUSED}but all times are before 1980 (the latest is {as_text(latest)}), so they "
            "look like ranks; provide real times, or use protocol=warm or cold",
            column=table.columns.get("timestamp", "timestamp"),
        )


def _check_sizes(table: InteractionTable, dates: Dates, sizes: Ints) -> None:
    """Refuse dates that leave a window without rows; `sizes` are those of the four windows."""
    early, train, valid = map(as_text, dates)
    names = (
        f"early (before {early})",
        f"early to train ({early} to {train})",
        f"valid ({train} to {valid})",
        f"test (from {valid} on)",
    )
    for name, size in zip(names, sizes.tolist(), strict=True):
        if not size:
            raise DataError(
                table.source,
                f"the window {name} has no rows; choose other percentages or dates of the split",
            )

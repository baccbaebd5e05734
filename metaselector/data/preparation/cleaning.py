"""Drop repeated rows, and users with too few rows to split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.microseconds import DAY
from metaselector.data.preparation.lists import has_lists, list_starts, repeated_lists
from metaselector.data.preparation.staging_types import LIST, Lines, StagedRows
from metaselector.data.time_order import TimeOrder

ShortUsers = Literal["refuse", "drop", "keep"]
"""What to do with users with a single row, which cannot be split by order."""


@dataclass
class Cleaning:
    """Drops rows and counts what it dropped.

    Attributes:
        source: file of the interactions, for messages.
        short_users: what to do with users with a single row.
        min_user_rows: drop users with fewer rows than this, repeats not counted.
        min_user_lists: drop users with fewer lists than this, repeats not counted.
    """

    source: Path
    short_users: ShortUsers
    min_user_rows: int = 1
    min_user_lists: int = 1
    _repeats: int = 0
    _first_repeat: int | None = None
    """Position in the source."""

    _rows: int = 0
    _tied: int = 0
    _early: int = 0
    _dates: bool = True
    _short: int = 0
    _first_short: tuple[int, int] | None = None
    """Position in the source, and user code."""

    _kind: str = "row"
    """What a user needs two of: a row, or a list."""

    _users_below: int = 0
    _rows_below: int = 0

    def clean(self, records: StagedRows) -> StagedRows:
        """Clean records of whole users, sorted as by :func:`whole_users`.

        Records with equal user, item and time are one interaction recorded more than once: the
        first in the file stays, whatever the labels of the others. In lists, a record repeats
        another one of its list, or a whole list repeats another one of the same items.
        """
        tied = tied_rows(records)
        repeated = repeats(records, tied)
        if repeated.any():
            self._repeats += int(repeated.sum())
            first = int(records["row"][repeated].min())
            self._first_repeat = min(self._first_repeat or first, first)
            records = records[~repeated]
            tied = tied_rows(records)
        if self.min_user_rows > 1 or self.min_user_lists > 1:
            records = self._long_enough(records)
            tied = tied_rows(records)
        starts = list_starts(records)
        apart = records
        if has_lists(records):  # rows of one list always share their time
            apart, self._kind = records[starts], "list"
            tied = tied_rows(apart)
        self._rows += len(apart)
        self._tied += int(tied.sum())
        same_user = apart["user"][1:] == apart["user"][:-1]
        self._early += int((same_user & (np.diff(apart["row"]) < 0)).sum())
        self._dates = self._dates and not (records["time"] % DAY).any()
        if self.short_users == "keep":
            return records
        users, index, place = np.unique(records["user"], return_index=True, return_inverse=True)
        counts = np.bincount(place[starts], minlength=len(users))
        short = index[counts == 1]
        if len(short):
            self._short += len(short)
            if self._first_short is None:  # users come in order of appearance
                first = records[short[0]]
                self._first_short = (int(first["row"]), int(first["user"]))
            records = records[(counts != 1)[place]]
        return records

    def add(self, later: Cleaning) -> None:
        """Count what `later` has dropped from records after these."""
        firsts = [c._first_repeat for c in (self, later) if c._first_repeat is not None]
        self._first_repeat = min(firsts, default=None)
        self._first_short = self._first_short or later._first_short
        self._dates = self._dates and later._dates
        self._kind = later._kind
        for name in ("_repeats", "_rows", "_tied", "_early", "_short", "_users_below"):
            setattr(self, name, getattr(self, name) + getattr(later, name))
        self._rows_below += later._rows_below

    def _long_enough(self, records: StagedRows) -> StagedRows:
        _, place, counts = np.unique(records["user"], return_inverse=True, return_counts=True)
        lists = np.bincount(place[list_starts(records)], minlength=len(counts))
        enough = (counts >= self.min_user_rows) & (lists >= self.min_user_lists)
        self._users_below += int((~enough).sum())
        self._rows_below += int((~enough[place]).sum())
        return records[enough[place]]

    def notes(self) -> list[str]:
        """Notes about the times of the remaining rows."""
        order = TimeOrder(self._rows, self._tied, self._early, self._dates, f"{self._kind}s")
        said = (*order.about_ties(), *order.about_order())
        return [f"{self.source}: {sentence}" for sentence in said]

    def repairs(self, users: list[str], lines: Lines) -> list[str]:
        """Report what was dropped, one counted sentence each.

        Args:
            users: user names by code.
            lines: maps a record to its line in the source.

        Raises:
            DataError: there are users with a single row, `short_users` is ``refuse``, and
                `min_user_rows` does not drop them; or `min_user_rows` drops everybody.
        """
        said = []
        if self._first_repeat is not None:
            rows = "1 row repeats" if self._repeats == 1 else f"{self._repeats:,} rows repeat"
            said.append(
                f"{self.source}: {rows} the user, item and time of an earlier row "
                f"(the first in line {lines.of(self._first_repeat)}); dropped"
            )
        if self._users_below:
            texts, setting = wanted(self.min_user_rows, self.min_user_lists)
            if not self._rows:
                problem = f"no user has {texts} or more; set {setting} lower"
                raise DataError(self.source, problem)
            who = "1 user" if self._users_below == 1 else f"{self._users_below:,} users"
            rows = "1 row" if self._rows_below == 1 else f"{self._rows_below:,} rows"
            said.append(
                f"{self.source}: {who} with fewer than {texts} dropped, with {rows} ({setting})"
            )
        if self._first_short and self.short_users == "refuse":
            row, user = self._first_short
            raise DataError(
                self.source,
                f"user '{users[user]}' has a single {self._kind} ({self._short} such users); a "
                "chronological split needs two or more: remove them, or set "
                "data.drop_short_users=true",
                line=lines.of(row),
                column="user",
            )
        if self._short:
            who = "1 user" if self._short == 1 else f"{self._short:,} users"
            said.append(f"{self.source}: {who} with a single {self._kind} dropped")
        return said


def wanted(rows: int, lists: int) -> tuple[str, str]:
    """What a user must have at least, in words, and the settings that say so."""
    some = {name: least for name, least in {"rows": rows, "lists": lists}.items() if least > 1}
    return (
        " or ".join(f"{least:,} {name}" for name, least in some.items()),
        " and ".join(f"data.min_user_{name}" for name in some),
    )


def tied_rows(records: StagedRows) -> NDArray[np.bool_]:
    """Mark records that share user and time with another one; they are sorted by these."""
    equal = (records["user"][1:] == records["user"][:-1]) & (
        records["time"][1:] == records["time"][:-1]
    )
    tied = np.zeros(len(records), dtype=bool)
    tied[1:] = equal
    tied[:-1] |= equal
    return tied


def repeats(records: StagedRows, tied: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Mark records that repeat user, item and time of an earlier one; only `tied` ones can."""
    repeated = np.zeros(len(records), dtype=bool)
    where = np.flatnonzero(tied_rows(records) if tied is None else tied)
    # lexsort is stable: among equals, the first of the file stays in front.
    keys = ("item", *((LIST,) if has_lists(records) else ()), "time", "user")
    where = where[np.lexsort([records[where][name] for name in keys])]
    same = np.ones(max(len(where) - 1, 0), dtype=bool)
    for name in keys:
        same &= records[name][where[1:]] == records[name][where[:-1]]
    repeated[where[1:][same]] = True
    return repeated | repeated_lists(records) if has_lists(records) else repeated

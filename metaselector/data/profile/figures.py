"""What raw data looks like: the numbers of a profile.

All are plain values, so that ``dataclasses.asdict`` gives what JSON can hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metaselector.data.interactions import FeatureKind
from metaselector.data.time_order import TimeOrder

Side = Literal["row", "user", "item"]
"""Whose value a feature is."""
SHORT = 10
"""A user with fewer rows has one at most in each of the windows valid and test of 10 %."""


@dataclass(frozen=True)
class Spread:
    """How a count is spread; quartiles are interpolated linearly.

    Attributes:
        minimum, lower, median, upper, maximum: the quartiles.
        mean: of all.
    """

    minimum: float
    lower: float
    median: float
    upper: float
    maximum: float
    mean: float


@dataclass(frozen=True)
class TaskProfile:
    """One label.

    Attributes:
        name: of the label's column.
        threshold: a value at or above it is positive.
        observed: rows with a value.
        positives: rows whose value is positive.
        share_observed: of all rows, 0 to 1.
        rate: positives among the observed rows, 0 to 1; None where none is observed.
        lowest, highest: value observed; None where none is.
        users_of_one_class: users whose observed rows are all positive, or all negative.
    """

    name: str
    threshold: float
    observed: int
    positives: int
    share_observed: float
    rate: float | None
    lowest: float | None
    highest: float | None
    users_of_one_class: int


@dataclass(frozen=True)
class NumberProfile:
    """The finite values of a numeric feature.

    Attributes:
        mean, minimum, maximum: of them.
        std: standard deviation of the values as a population; 0 where they differ by rounding only.
        whole: all are whole numbers.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    whole: bool


@dataclass(frozen=True)
class FeatureProfile:
    """One feature of the rows of *train*, or of the users or items that occur in them.

    Attributes:
        name: of the feature.
        side: whose value it is.
        kind: as in :class:`~metaselector.data.interactions.Feature`.
        entries: rows, users or items of *train*.
        missing: those of them without a word or a finite number.
        share_missing: the same, 0 to 1.
        distinct: words, or numbers; None where there are too many distinct numbers to count.
        frequent: the most frequent words and how often each occurs, most first; of equally
            frequent ones the first seen first.
        numbers: of a numeric feature that is not missing everywhere.
        later: words or numbers after *train*: of its rows, or of users or items that only they
            have.
        new: of these, words that *train* does not have, or numbers outside of its range.
        doubts: what to know of the words or numbers, one clause each.
    """

    name: str
    side: Side
    kind: FeatureKind
    entries: int
    missing: int
    share_missing: float
    distinct: int | None
    frequent: tuple[tuple[str, int], ...] = ()
    numbers: NumberProfile | None = None
    later: int = 0
    new: int = 0
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogProfile:
    """What :func:`~metaselector.data.profile.describe.describe` finds.

    Attributes:
        dataset, source: name, and the file of the interactions.
        rows, users, items: how many there are; users and items are those that occur in rows.
        tabular: there are no items, so that all about them is 0, and times count the rows.
        sampled: negatives that preparation adds to every row; the labels are those without them.
        pairs: distinct pairs of a user and an item that occur.
        density: `pairs` as a share of ``users * items``, 0 to 1.
        repeated_rows: rows that repeat user, item and time of an earlier one.
        first_time, last_time: ISO 8601, UTC.
        rows_before_1995, rows_in_future: by their time.
        tasks: the labels, in the order of the table.
        rows_per_user, rows_per_item: spread of these counts.
        single_row_users, short_users: users with one row, and with fewer than
            :data:`SHORT` rows.
        tied_rows, early_rows, dates: as in :class:`~metaselector.data.time_order.TimeOrder`.
        users_at_one_time: users of two rows or more, more than half of which share one time.
        users_unknown, items_unknown: without a row in the side table; None where the table has no
            features of users, or items.
        features: of rows, then users, then items.
        repairs: what was mended while reading.
        doubtful_names: the column of users or of items, and what may be wrong with its names.
        warnings: one line each, with what to do.
    """

    dataset: str
    source: str
    rows: int
    users: int
    items: int
    pairs: int
    density: float
    repeated_rows: int
    first_time: str
    last_time: str
    rows_before_1995: int
    rows_in_future: int
    tasks: tuple[TaskProfile, ...]
    rows_per_user: Spread
    rows_per_item: Spread
    single_row_users: int
    short_users: int
    users_at_one_time: int
    users_unknown: int | None
    items_unknown: int | None
    tabular: bool = False
    sampled: int = 0
    features: tuple[FeatureProfile, ...] = ()
    tied_rows: int = 0
    early_rows: int = 0
    dates: bool = False
    repairs: tuple[str, ...] = ()
    doubtful_names: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def order(self) -> TimeOrder:
        """How far times order the rows."""
        rows = self.rows - self.repeated_rows
        return TimeOrder(rows, self.tied_rows, self.early_rows, self.dates)

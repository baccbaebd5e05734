"""Profiles of raw data: plain values, so that ``dataclasses.asdict`` can be written as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metaselector.data.interactions import FeatureKind, Origin
from metaselector.data.profile.long_users import LeftOut
from metaselector.data.profile.users_by_rows import UsersByRows
from metaselector.data.time_order import TimeOrder

Side = Literal["row", "user", "item"]
"""Owner of a feature."""
SHORT = 10
"""Users with fewer rows have at most one each in valid and test, of 10 % each."""


@dataclass(frozen=True)
class Spread:
    """Distribution of a count; quartiles are interpolated linearly.

    Attributes:
        minimum, lower, median, upper, maximum: the quartiles.
        mean: mean count.
    """

    minimum: float
    lower: float
    median: float
    upper: float
    maximum: float
    mean: float


@dataclass(frozen=True)
class WindowRates:
    """Share of positives among the observed rows of each window, 0 to 1; None if there are none."""

    train: float | None
    valid: float | None
    test: float | None


@dataclass(frozen=True)
class TaskProfile:
    """Profile of a label.

    Attributes:
        name: the label's column.
        threshold: values of at least this are positive.
        observed: rows with a value.
        positives: rows with a positive value.
        share_observed: share of all rows with a value, 0 to 1.
        rate: share of positives among observed rows, 0 to 1; None if none is observed.
        lowest, highest: range of values; None if none is observed.
        users_of_one_class: users whose observed rows are all positive or all negative.
        window_rates: share of positives by window, repeated rows excluded.
        spread: :func:`~metaselector.data.profile.user_rates.spread` of all users; None if fewer
            than two users have two observed rows.
        drift: :func:`~metaselector.data.profile.user_rates.drift`; None if no user has two observed
            rows before *test* and in it.
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
    window_rates: WindowRates = WindowRates(None, None, None)
    spread: float | None = None
    drift: float | None = None


@dataclass(frozen=True)
class NumberProfile:
    """The finite values of a numeric feature.

    Attributes:
        mean, minimum, maximum: statistics of the values.
        std: population standard deviation; 0 if the values are equal up to rounding.
        whole: whether all are whole numbers.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    whole: bool


@dataclass(frozen=True)
class FeatureProfile:
    """Profile of a feature in the rows of *train*, or in the users or items of those rows.

    Attributes:
        name: name of the feature.
        side: its owner.
        kind: see :class:`~metaselector.data.interactions.Feature`.
        entries: rows, users or items of *train*.
        missing: entries without a word or a finite number.
        share_missing: share of missing entries, 0 to 1.
        distinct: number of distinct words or numbers; None if there are too many numbers to count.
        frequent: most frequent words and their counts, in descending order, ties in order of
            first occurrence.
        numbers: statistics of a numeric feature, unless all values are missing.
        later: words or numbers after *train*, in its rows or in users or items new in them.
        new: count of these that are words not in *train*, or numbers outside its range.
        doubts: warnings about the words or numbers, one clause each.
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
    """The result of :func:`~metaselector.data.profile.describe.describe`.

    Attributes:
        dataset, source: name of the data set, and file of the interactions.
        rows, users, items: how many there are; users and items are those that occur in rows.
        tabular: whether there are no items (counts of items are 0) and times number the rows.
        sampled: negatives that preparation adds per row; the labels here exclude them.
        pairs: distinct user-item pairs.
        density: `pairs` divided by ``users * items``, 0 to 1.
        repeated_rows: rows that repeat user, item and time of an earlier one.
        first_time, last_time: ISO 8601, UTC.
        rows_before_1995, rows_in_future: rows by time.
        tasks: profiles of the labels, in the order of the table.
        rows_per_user, rows_per_item: distributions of these counts.
        single_row_users, short_users: users with one row, and with fewer than
            :data:`SHORT` rows.
        tied_rows, early_rows, dates: see :class:`~metaselector.data.time_order.TimeOrder`.
        users_at_one_time: users with at least two rows, more than half of which share one time.
        same_time_share: share of rows that share their time with another row of their user, 0 to 1,
            repeated rows excluded; None if rows have no times.
        same_second_share: the same with times rounded down to seconds.
        lists: whether rows belong to lists, whose rows share a time.
        users_by_rows: users with enough rows to adapt on.
        users_unknown, items_unknown: users and items without features; None if the table has no
            features of them.
        features: profiles of features of rows, then users, then items.
        future_share, future_tests: see :class:`~metaselector.data.profile.future.Future`; None if
            rows have no times or a window is empty.
        split_dates: dates that split the rows of all users, ISO 8601, UTC; None for other splits.
        repairs: repairs made while reading.
        doubtful_names: a column of users or items, and a warning about its names.
        warnings: one line each, with a remedy.
        hints: settings that the data suggests, one line each.
        left_out: users with few rows, whom no other figure counts; None if none are left out.
        origin: what to say of a copy that is not the official one.
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
    users_by_rows: UsersByRows
    tabular: bool = False
    sampled: int = 0
    features: tuple[FeatureProfile, ...] = ()
    tied_rows: int = 0
    early_rows: int = 0
    dates: bool = False
    same_time_share: float | None = None
    same_second_share: float | None = None
    lists: bool = False
    future_share: float | None = None
    future_tests: float | None = None
    split_dates: tuple[str, ...] | None = None
    repairs: tuple[str, ...] = ()
    doubtful_names: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    left_out: LeftOut | None = None
    origin: Origin | None = None

    @property
    def order(self) -> TimeOrder:
        """How far times determine the order of the rows."""
        rows = self.rows - self.repeated_rows
        return TimeOrder(rows, self.tied_rows, self.early_rows, self.dates)

"""The interaction table: the output of every reader and the input of preparation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import ConfigError, DataError, nearest
from metaselector.data.microseconds import TimePart, as_seconds

Ints = NDArray[np.int64]
"""Counts, times, or positions of rows, users and items."""
Floats = NDArray[np.float64]
"""Labels, probabilities, losses or weights."""

FeatureKind = Literal["categorical", "multivalued", "numeric"]
Sampling = Literal["uniform", "popularity"]
TimeUnit = Literal["seconds", "milliseconds", "iso"]


@dataclass(frozen=True)
class Feature:
    """A raw column that becomes a field.

    Attributes:
        name: the column, and the field.
        kind: ``"categorical"`` is one word, ``"multivalued"`` any number of words, ``"numeric"`` a
            number.
        separator: separates the words of a multi-valued feature of interactions.
        buckets: number of quantile buckets, fitted on *train*, that a number is cut into; None
            standardises the number.
        min_count: words in fewer rows of *train* count as unseen; None uses the setting
            ``data.min_count``.
        profile: for a multi-valued feature of items, also make a field of its mean over the
            user's positives.
        unknown_at_prediction: rows to predict have the unseen word, as for a place in a list that
            is not decided yet; only for categorical features of interactions.

    Example:
        >>> Feature("price", "numeric", buckets=10).buckets
        10
    """

    name: str
    kind: FeatureKind = "categorical"
    separator: str = "|"
    buckets: int | None = None
    min_count: int | None = None
    profile: bool = False
    unknown_at_prediction: bool = False


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    Attributes:
        name: name of the label's column.
        threshold: values of at least this are positive; None uses the setting
            ``data.label_threshold``.
        after: earlier task that must be positive for this one to be observed.
        flag: whether the column may contain only 0 and 1, or false and true.

    Example:
        >>> Task("liked", threshold=4, after="watched").after
        'watched'
    """

    name: str
    threshold: float | None = None
    after: str | None = None
    flag: bool = False


def task_parents(tasks: Sequence[Task]) -> tuple[int, ...] | None:
    """Index of the task that each task comes after, -1 for none; None if all are -1.

    Raises:
        ConfigError: a task comes after one that is not listed before it.
    """
    names = [task.name for task in tasks]
    parents = []
    for place, task in enumerate(tasks):
        if task.after is not None and task.after not in names[:place]:
            raise ConfigError(
                f"task '{task.name}' comes after '{task.after}', which is not an earlier task; "
                + (nearest(task.after, names[:place]) if place else "it is the first task")
            )
        parents.append(-1 if task.after is None else names.index(task.after))
    return tuple(parents) if max(parents) >= 0 else None


@dataclass(frozen=True)
class Negatives:
    """How to sample negatives for a log in which every row is a positive of the first task.

    Attributes:
        per_positive: negatives sampled for each row of the log, with its time and features.
        sampling: distribution of items, ``"uniform"`` or ``"popularity"`` (in proportion to their
            rows).
        seed: random seed of the sampling.
        once: sample an item at most once per user. If users meet an item only once, a second
            sample would leak its label: a pair that was seen before is never a positive.
    """

    per_positive: int
    sampling: Sampling = "uniform"
    seed: int = 0
    once: bool = False


@dataclass(frozen=True)
class Origin:
    """What tables must say about a copy of a public data set that is not the official one.

    Attributes:
        title: the data set's name in titles and captions of tables.
        limit: one sentence on what the copy cannot show.
        true_times: whether times are right, not only each user's order. If not, results that depend
            on the hour, the weekday or a split of everybody at one date mean nothing.

    Example:
        >>> Origin("MovieLens-1M (my copy)", "It lacks some ratings.").true_times
        True
    """

    title: str
    limit: str
    true_times: bool = True


class Interactions(NamedTuple):
    """A block of rows of a table, in the order of the file.

    Attributes:
        user, item: strings ``[n]``, plain or dictionary-encoded, never missing or empty; in a
            tabular table every item is null.
        labels: float64 ``[n, T]``, one column per task; nan where a task was not observed, for
            example because the task that it comes after is not positive.
        timestamps: int64 ``[n]``, microseconds since 1970 UTC.
        lines: int64 ``[n]``, 1-based line of a text file, or row of another file.
        features: an array ``[n]`` for each of the table's `features`: strings, plain or
            dictionary-encoded (missing: null or empty), or float64 (missing: nan) if numeric.
        lists: int64 ``[n]``, equal for the rows of a user that were shown together, if the table
            has lists.
        rows: int64 ``[n]``, the place of each row in the original log, from 0, if blocks are not in
            its order.
    """

    user: pa.Array
    item: pa.Array
    labels: NDArray[np.float64]
    timestamps: Ints
    lines: Ints
    features: Mapping[str, pa.Array] = {}
    lists: Ints | None = None
    rows: Ints | None = None


@dataclass(frozen=True)
class InteractionTable:
    """Raw interactions, read block by block, with the features of their users and items.

    Attributes:
        name: data-set name, for example ``"movielens-100k"``.
        source: the file that the interactions are read from, for error messages.
        read: yields the interactions from the start each time it is called.
        users: features of users, ``[n_users, …]``, indexed by the user string, with a column for
            each of `user_features`: words (missing: empty or nan), tuples of words if
            multi-valued, or float64 if numeric.
        describe_items: returns the same for items, given the items that occur; it may return
            further rows.
        tasks: the tasks of the label columns; the first one is evaluated.
        negatives: how to sample negatives if every row is a positive of the first task; later
            tasks are not observed in sampled rows.
        features, user_features, item_features: columns that become fields, in this order.
        time_parts: parts of the timestamp (UTC) that become fields.
        tabular: rows have no item, so there are no item and history fields, and no time, so the
            timestamps count the rows. Users are groups of rows; groups of one row are dropped.
        lists: whether rows belong to lists, which nothing may cut: all rows of a list have the same
            user and time.
        columns: names in the file of ``user``, ``item``, ``timestamp``, tasks and features, where
            they differ from the names here.
        time_unit: unit of the times in the file; None if the column's type determines it.
        repairs: one counted sentence for each kind of repair made while reading; complete once
            `read` is exhausted and `describe_items` has been called.
        notes: further remarks of preparation that needed no repair.
        origin: what tables must say if this is not the official copy of a public data set.
    """

    name: str
    source: Path
    read: Callable[[], Iterator[Interactions]]
    users: pd.DataFrame
    describe_items: Callable[[Iterable[str]], pd.DataFrame]
    tasks: tuple[Task, ...] = (Task("rating"),)
    negatives: Negatives | None = None
    features: tuple[Feature, ...] = ()
    user_features: tuple[Feature, ...] = ()
    item_features: tuple[Feature, ...] = ()
    time_parts: tuple[TimePart, ...] = ("day_of_week", "season")
    tabular: bool = False
    lists: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    time_unit: TimeUnit | None = "seconds"
    repairs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    origin: Origin | None = None

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """All rows of small data: user, item, tasks, timestamp, line and features.

        Timestamps are in seconds, see :func:`~metaselector.data.microseconds.as_seconds`.
        """
        frames = [_frame(self, block) for block in self.read()]
        if not frames:
            raise DataError(self.source, "the file contains no interactions")
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def items(self) -> pd.DataFrame:
        """Features of all items of small data."""
        return self.describe_items(self.interactions["item"].unique())


def nothing_known(index: Literal["user", "item"]) -> pd.DataFrame:
    """An empty table of users or items, for data sets without their features."""
    return pd.DataFrame(index=pd.Index([], dtype="str", name=index))


def _frame(table: InteractionTable, block: Interactions) -> pd.DataFrame:
    columns: dict[str, Any] = {"user": _plain(block.user), "item": _plain(block.item)}
    for task, values in zip(table.tasks, block.labels.T, strict=True):
        columns[task.name] = values
    times = block.timestamps if table.tabular else as_seconds(block.timestamps)
    columns |= {"timestamp": times, "line": block.lines}
    return pd.DataFrame(columns | {name: _plain(a) for name, a in block.features.items()})


def _plain(array: pa.Array) -> Any:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.to_pandas()

"""The interaction table: what every reader returns and preparation takes."""

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
from metaselector.data.microseconds import as_seconds

FeatureKind = Literal["categorical", "multivalued", "numeric"]
Sampling = Literal["uniform", "popularity"]
TIME_PARTS = ("hour", "day_of_week", "month", "season")
TimePart = Literal["hour", "day_of_week", "month", "season"]
TimeUnit = Literal["seconds", "milliseconds", "iso"]


@dataclass(frozen=True)
class Feature:
    """A raw column that becomes a field.

    Attributes:
        name: the column, and the field.
        kind: ``"categorical"`` is one word, ``"multivalued"`` any number of words, ``"numeric"`` a
            number.
        separator: what stands between the words of a multi-valued feature of interactions.
        buckets: cut a number at its quantiles in *train* into this many words; None standardises
            it.
        min_count: words that are rarer in *train* count as unseen; None takes the setting
            ``data.min_count``.
        profile: for a multi-valued feature of items: also make a field of the mean over the items
            that the user liked.

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


@dataclass(frozen=True)
class Task:
    """One thing to predict.

    Attributes:
        name: of the label's column.
        threshold: a value at or above it is a positive; None takes the setting
            ``data.label_threshold``.
        after: name of the earlier task that must be positive for this one to be observed.
        flag: its column holds 0 and 1 only, or false and true, so that any other value is wrong.

    Example:
        >>> Task("liked", threshold=4, after="watched").after
        'watched'
    """

    name: str
    threshold: float | None = None
    after: str | None = None
    flag: bool = False


def task_parents(tasks: Sequence[Task]) -> tuple[int, ...] | None:
    """For each task the index of the one that it comes after, -1 for none; None if all are -1.

    Raises:
        ConfigError: a task is to come after one that does not stand before it.
    """
    names = [task.name for task in tasks]
    parents = []
    for place, task in enumerate(tasks):
        if task.after is not None and task.after not in names[:place]:
            raise ConfigError(
                f"task '{task.name}' comes after '{task.after}', which is none of the tasks before "
                f"it; {nearest(task.after, names[:place]) if place else 'it is the first one'}"
            )
        parents.append(-1 if task.after is None else names.index(task.after))
    return tuple(parents) if max(parents) >= 0 else None


@dataclass(frozen=True)
class Negatives:
    """Negatives for a log of which every row is a positive of the first task.

    Attributes:
        per_positive: sampled for each row of the log, with its time and features.
        sampling: of items, ``"uniform"`` or ``"popularity"`` (in proportion to their rows).
        seed: of the sampling.
        once: an item is a negative of a user at most once. Where users have an item once only,
            drawing it twice would give the second time away: a pair that was seen before is never
            a positive.
    """

    per_positive: int
    sampling: Sampling = "uniform"
    seed: int = 0
    once: bool = False


class Interactions(NamedTuple):
    """Some rows of a table, in the order of the file.

    Attributes:
        user, item: strings ``[n]``, plain or dictionary-encoded; none is missing or empty, but
            that in a tabular table every item is null.
        labels: float64 ``[n, T]``, a column a task; nan where a task was not observed, as one is
            that comes after a task which is not positive.
        timestamps: int64 ``[n]``, microseconds since 1970 UTC.
        lines: int64 ``[n]``, 1-based line of the file, or row of a file without lines.
        features: for each of the table's `features` an array ``[n]``: strings, plain or
            dictionary-encoded (missing: null or empty), or float64 (missing: nan) where numeric.
    """

    user: pa.Array
    item: pa.Array
    labels: NDArray[np.float64]
    timestamps: NDArray[np.int64]
    lines: NDArray[np.int64]
    features: Mapping[str, pa.Array] = {}


@dataclass(frozen=True)
class InteractionTable:
    """Raw interactions, read some at a time, with what is known of their users and items.

    Attributes:
        name: data-set name, for example ``"movielens-100k"``.
        source: the file the interactions were read from, for error messages.
        read: yields the interactions from the start, each time it is called.
        users: what is known of users: ``[n_users, …]`` indexed by the user string, with a column
            for each of `user_features`; words missing are empty or nan, those of multi-valued
            features are tuples of strings, numbers float64.
        describe_items: the same of items, given the items that occur; rows of others do no harm.
        tasks: what the columns of the labels are; the first is the one that is evaluated.
        negatives: where every row is a positive of the first task, the negatives to be sampled;
            they have no value in the tasks after it.
        features, user_features, item_features: the columns that become fields, in this order.
        time_parts: parts of the timestamp (UTC) that become fields.
        tabular: rows have no item, so that no field of items or histories is made, and no time:
            the timestamps count the rows. Users are groups of rows; those of a single row are
            dropped.
        columns: what the files call ``user``, ``item``, ``timestamp``, and the tasks and features
            by their names; those that are not here are called so there too.
        time_unit: of the file's times; None where the type of their column says it.
        repairs: what was mended while reading, one counted sentence each; complete once `read`
            has been read to its end and `describe_items` has been called.
        notes: what preparation found worth saying, though nothing had to be mended.
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
    columns: Mapping[str, str] = field(default_factory=dict)
    time_unit: TimeUnit | None = "seconds"
    repairs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def interactions(self) -> pd.DataFrame:
        """All rows at once, for small data: user, item, tasks, timestamp, line and features.

        The timestamp is in seconds, as :func:`~metaselector.data.microseconds.as_seconds`.
        """
        frames = [_frame(self, block) for block in self.read()]
        if not frames:
            raise DataError(self.source, "the file holds no interactions")
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def items(self) -> pd.DataFrame:
        """What is known of the items, for small data."""
        return self.describe_items(self.interactions["item"].unique())


def nothing_known(index: Literal["user", "item"]) -> pd.DataFrame:
    """The users or items of a data set that says nothing of them."""
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

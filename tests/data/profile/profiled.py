"""Tiny tables, and their profiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from metaselector.data.interactions import (
    Feature,
    Interactions,
    InteractionTable,
    Task,
    nothing_known,
)
from metaselector.data.microseconds import SECOND
from metaselector.data.profile.describe import describe
from metaselector.data.profile.figures import FeatureProfile, LogProfile
from metaselector.data.splitting.windows import Windows

DAY = 86_400
START = 978_307_200  # 2001-01-01
ALL = Windows(100, 100, 100)
"""All rows are *train*, but repeats and those of users with a single row."""
NOW = START + 1000 * DAY
FEATURES = (
    Feature("device"),
    Feature("tags", "multivalued", separator=";"),
    Feature("price", "numeric"),
)
Columns = dict[str, Sequence[Any]]


def table_of(
    columns: Columns,
    features: Sequence[Feature] = (),
    tasks: Sequence[Task] = (Task("rating"),),
    cuts: Sequence[int] = (),
    encode: bool = False,
    **more: Any,
) -> InteractionTable:
    """A table of `columns` cut into blocks at `cuts`, its words perhaps dictionary-encoded.

    Columns that are not given: every user has the items i0, i1, … at a day's distance, and labels
    alternate. Timestamps are in seconds.
    """
    n = len(columns["user"])
    rank = pd.Series(columns["user"]).groupby(list(columns["user"])).cumcount().to_numpy()
    filled: Columns = {
        "item": [f"i{r}" for r in rank],
        "timestamp": START + DAY * rank,
        **{task.name: 5.0 * (rank % 2) for task in tasks},
        **columns,
    }
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]

    def words(values: Sequence[Any]) -> pa.Array:
        array = pa.array(list(values), pa.string(), from_pandas=True)
        return array.dictionary_encode() if encode else array

    def read() -> Iterator[Interactions]:
        for start, stop in pairwise(edges):
            part = {name: values[start:stop] for name, values in filled.items()}
            labels = [np.asarray(part[task.name], dtype=np.float64) for task in tasks]
            yield Interactions(
                words(part["user"]),
                words(part["item"]),
                np.stack(labels, axis=1),
                np.asarray(part["timestamp"], dtype=np.int64) * SECOND,
                np.arange(start + 1, stop + 1),
                {
                    feature.name: pa.array(np.asarray(part[feature.name], dtype=np.float64))
                    if feature.kind == "numeric"
                    else words(part[feature.name])
                    for feature in features
                },
            )

    known: dict[str, Any] = {
        "users": nothing_known("user"),
        "describe_items": lambda items: nothing_known("item"),
    }
    return InteractionTable(
        "tiny",
        Path("tiny.csv"),
        read,
        tasks=tuple(tasks),
        features=tuple(features),
        **(known | more),
    )


def profile_of(
    columns: Columns, threshold: float = 4.0, windows: Windows = ALL, **more: Any
) -> LogProfile:
    return describe(table_of(columns, **more), threshold, windows=windows, now=NOW)


def feature(profile: LogProfile, name: str) -> FeatureProfile:
    (found,) = (found for found in profile.features if found.name == name)
    return found

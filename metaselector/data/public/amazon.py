"""Read Amazon reviews of the 2014, 2018 and 2023 releases, recognised by their keys.

Sources: J. McAuley et al., "Image-based Recommendations on Styles and Substitutes", SIGIR 2015
(2014); J. Ni, J. Li and J. McAuley, "Justifying Recommendations using Distantly-Labeled Reviews and
Fine-Grained Aspects", EMNLP 2019 (2018); Y. Hou et al., "Bridging Language and Items for Retrieval
and Recommendation", 2024 (2023). There are no user features. Categories of items come from the
metadata, if given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature, Interactions, InteractionTable, nothing_known
from metaselector.data.microseconds import of_numbers
from metaselector.data.public.amazon_metadata import read_categories
from metaselector.data.raw.json_lines import first_object, read_json_lines
from metaselector.data.raw.records import Records
from metaselector.data.raw.values import LAST_SECOND, MEND, Column

CATEGORIES = Feature("categories", "multivalued", profile=True)

_WORST, _BEST = 1.0, 5.0
_AMAZON_OPENS = 788_918_400_000  # 1 January 1995, in milliseconds
_LAST_MILLISECOND = LAST_SECOND * 1000 + 999


@dataclass(frozen=True)
class _Format:
    """Keys of user, item, rating and time in a release, and the unit of its times."""

    user: str
    item: str
    rating: str
    time: str
    milliseconds: bool

    def columns(self) -> tuple[Column, ...]:
        return (
            Column(self.user, "key"),
            Column(self.item, "key"),
            Column(self.rating, "number"),
            Column(self.time, "number" if self.milliseconds else "seconds"),
        )


_SECONDS = _Format("reviewerID", "asin", "overall", "unixReviewTime", False)  # 2014 and 2018
_PARENTS = _Format("user_id", "parent_asin", "rating", "timestamp", True)  # 2023
_ITEMS = _Format("user_id", "asin", "rating", "timestamp", True)  # 2023 without variants


def read_amazon(reviews: Path, metadata: Path | None = None) -> InteractionTable:
    """Read a file of reviews, gzipped or not, and optionally the metadata of its items.

    Rows of a user with equal times keep the order of the file. Times of the 2023 release keep their
    milliseconds; its items are the parents of variants, as in its metadata.

    Args:
        reviews: file with one JSON object per line.
        metadata: file read by :func:`read_categories` for the items that occur.

    Raises:
        DataError: a file is missing, empty, truncated or damaged, or a line is wrong. Only the
            first line of the reviews is checked at once, everything else as it is read.
    """
    repairs: list[str] = []

    def describe_items(names: Iterable[str]) -> pd.DataFrame:
        if metadata is None:
            return nothing_known("item")
        items, mended = read_categories(metadata, names)
        repairs.extend(repair for repair in mended if repair not in repairs)
        return items

    return InteractionTable(
        name="amazon",
        source=reviews,
        read=partial(_read, reviews, _format(reviews)),
        users=nothing_known("user"),
        describe_items=describe_items,
        item_features=() if metadata is None else (CATEGORIES,),
        repairs=repairs,
    )


def _format(path: Path) -> _Format:
    keys = first_object(path).keys()
    for format_ in (_SECONDS, _PARENTS, _ITEMS):
        if format_.user in keys and format_.item in keys:
            return format_
    problem = (
        f"not an Amazon review, it has the keys {', '.join(keys) or 'none'}"[:160]
        + "; reviews have reviewerID and asin (2014, 2018) or user_id and parent_asin (2023)"
    )
    raise DataError(path, problem, line=1)


def _read(path: Path, format_: _Format) -> Iterator[Interactions]:
    for records in read_json_lines(path, format_.columns()):
        ratings = records.numbers(format_.rating)
        right = (ratings >= _WORST) & (ratings <= _BEST)
        records.require(right, path, format_.rating, "a rating from 1 to 5")
        if format_.milliseconds:
            times = _of_milliseconds(path, records, format_.time)
        else:
            times = records.times(format_.time)
        yield records.interactions(format_.user, format_.item, format_.rating, times)


def _of_milliseconds(path: Path, records: Records, column: str) -> NDArray[np.int64]:
    """Convert a column of milliseconds to microseconds."""
    times = records.numbers(column)
    whole = times == np.floor(times)
    right = whole & (times >= _AMAZON_OPENS) & (times <= _LAST_MILLISECOND)
    remedy = f"multiply times in seconds by 1000; {MEND}"
    expected = "a time in whole milliseconds since 1970, from 1995 to 2200"
    records.require(right, path, column, expected, remedy)
    return of_numbers(times, 1000)

"""Amazon reviews of the 2014, 2018 and 2023 releases, recognised by their keys.

Sources: J. McAuley et al., "Image-based Recommendations on Styles and Substitutes", SIGIR 2015
(2014); J. Ni, J. Li and J. McAuley, "Justifying Recommendations using Distantly-Labeled Reviews and
Fine-Grained Aspects", EMNLP 2019 (2018); Y. Hou et al., "Bridging Language and Items for Retrieval
and Recommendation", 2024 (2023). Nothing is known of the users. Categories of the items come from
the metadata, where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.data.amazon_metadata import read_categories
from metaselector.data.interactions import InteractionTable, nothing_known
from metaselector.data.json_lines import first_object, read_json_lines
from metaselector.data.values import MEND, Column
from metaselector.errors import DataError

_WORST, _BEST = 1.0, 5.0
_AMAZON_OPENS = 788_918_400_000  # 1 January 1995, in milliseconds
_LAST_MILLISECOND = 253_402_300_799_999  # end of the year 9999


@dataclass(frozen=True)
class _Format:
    """The keys of a release: user, item, rating and time."""

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
    """Read a file of reviews, gzipped or not, and the metadata of its items if there are any.

    Rows of one user with the same time keep the order of the file. Times of the 2023 release, which
    are in milliseconds, are rounded down to seconds. Its items are the parents of variants, as in
    the metadata of that release.

    Args:
        reviews: one JSON object a line.
        metadata: read as in :func:`metaselector.data.amazon_metadata.read_categories`.

    Raises:
        DataError: a file is missing, empty, cut short or damaged, or a line of it is wrong.
    """
    format_ = _format(reviews)
    frame = read_json_lines(reviews, format_.columns())
    _check_ratings(reviews, frame, format_.rating)
    if format_.milliseconds:
        frame = frame.assign(**{format_.time: _seconds(reviews, frame, format_.time)})
    ours = {
        format_.user: "user",
        format_.item: "item",
        format_.rating: "rating",
        format_.time: "timestamp",
    }
    interactions = frame.rename(columns=ours)
    items, repairs = (
        (nothing_known("item"), ())
        if metadata is None
        else read_categories(metadata, interactions["item"])
    )
    return InteractionTable(
        name="amazon",
        source=reviews,
        interactions=interactions,
        users=nothing_known("user"),
        items=items,
        repairs=repairs,
    )


def _format(path: Path) -> _Format:
    keys = first_object(path).keys()
    for format_ in (_SECONDS, _PARENTS, _ITEMS):
        if format_.user in keys and format_.item in keys:
            return format_
    problem = (
        f"no Amazon review, it has the keys {', '.join(keys) or 'none'}"[:160]
        + "; a review has reviewerID and asin (2014, 2018) or user_id and parent_asin (2023); "
        "bring such a file"
    )
    raise DataError(path, problem, line=1)


def _check_ratings(path: Path, frame: pd.DataFrame, column: str) -> None:
    ratings = frame[column].to_numpy()
    wrong = np.flatnonzero((ratings < _WORST) | (ratings > _BEST))
    if len(wrong):
        problem = f"{ratings[wrong[0]]:g} is not a rating from 1 to 5 ({len(wrong)} such); {MEND}"
        raise DataError(path, problem, line=int(frame["line"].iloc[wrong[0]]), column=column)


def _seconds(path: Path, frame: pd.DataFrame, column: str) -> np.ndarray:
    times = frame[column].to_numpy()
    whole = times == np.floor(times)
    wrong = np.flatnonzero(~whole | (times < _AMAZON_OPENS) | (times > _LAST_MILLISECOND))
    if len(wrong):
        problem = (
            f"{times[wrong[0]]:.15g} is not a time in whole milliseconds since 1970, from 1995 on "
            f"({len(wrong)} such; a time in seconds needs three more zeros); {MEND}"
        )
        raise DataError(path, problem, line=int(frame["line"].iloc[wrong[0]]), column=column)
    return times.astype(np.int64) // 1000

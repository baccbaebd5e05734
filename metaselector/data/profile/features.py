"""Profiles of single features, collected block by block."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.data.interactions import Feature, Ints
from metaselector.data.preparation.codes import Codes, Tally, occurring
from metaselector.data.preparation.later_numbers import LaterNumbers
from metaselector.data.preparation.numbers import Numbers
from metaselector.data.profile.figures import FeatureProfile, NumberProfile, Side
from metaselector.data.raw.spelling import doubts_of_words

FREQUENT = 5
"""Most frequent words listed."""
MAX_DISTINCT = 100
"""Distinct numbers counted before giving up."""


class WordSummary:
    """Summarizes a categorical or multi-valued feature; memory grows with its distinct words."""

    def __init__(self, feature: Feature, side: Side) -> None:
        self._feature, self._side = feature, side
        self._codes, self._train, self._later = Codes(), Tally(), Tally()
        self._entries = self._missing = 0

    def add(self, array: pa.Array, rows: Ints) -> None:
        """Add entries ``[n]`` of *train*: strings, with separators if multi-valued, or lists."""
        present = self._add(array, self._train)
        self._entries += len(array)
        self._missing += len(array) - present

    def add_later(self, array: pa.Array) -> None:
        """Add entries of rows after *train*."""
        self._add(array, self._later)

    def _add(self, array: pa.Array, tally: Tally) -> int:
        """Count words; return the number of entries that have any."""
        if pa.types.is_list(array.type):
            return self._count(array, np.ones(len(array), dtype=np.int64), tally)
        entries, rows = occurring(array)
        words = entries.cast(pa.string())
        if self._feature.kind == "multivalued":
            words = pc.split_pattern(words, self._feature.separator)
        return self._count(words, np.bincount(rows[rows >= 0], minlength=len(entries)), tally)

    def _count(self, entries: pa.Array, counts: Ints, tally: Tally) -> int:
        """Count distinct entries, a word or a list of words each, that occur `counts` times."""
        words, entry = entries, np.arange(len(entries))
        if not pa.types.is_string(entries.type):
            words, entry = entries.flatten(), pc.list_parent_indices(entries).to_numpy()
        codes = self._codes.add(words)
        codes, entry = codes[codes >= 0], entry[codes >= 0]
        tally.add(codes, counts[entry])
        return int(counts[np.unique(entry)].sum())

    def profile(self) -> FeatureProfile:
        """The profile of the values added so far."""
        n, words = len(self._codes), self._codes.words
        train, later = self._train.counts(n), self._later.counts(n)
        most = np.argsort(-train, kind="stable")[:FREQUENT]
        return FeatureProfile(
            **_common(self._feature, self._side, self._entries, self._missing),
            distinct=int(np.count_nonzero(train)),
            frequent=tuple((words[code], int(train[code])) for code in most if train[code]),
            later=int(later.sum()),
            new=int(later[train == 0].sum()),
            doubts=tuple(doubts_of_words([words[code] for code in np.flatnonzero(train)])),
        )


class NumberSummary:
    """Summarizes a numeric feature; infinite values count as missing."""

    def __init__(self, feature: Feature, side: Side, stride: int) -> None:
        self._feature, self._side = feature, side
        self._numbers = Numbers(stride)
        self._whole = True
        self._distinct: set[float] | None = set()
        self._later = 0
        self._outside = np.zeros(0)
        """Later numbers outside the range so far; the final range may still include some."""

    def add(self, array: pa.Array, rows: Ints) -> None:
        """Add float64 ``[n]`` of *train*, of the given rows of the file."""
        values = array.to_numpy(zero_copy_only=False)
        self._numbers.add(values, rows)
        values = values[np.isfinite(values)]
        self._whole = self._whole and bool((values == np.floor(values)).all())
        if self._distinct is not None:
            self._distinct.update(np.unique(values).tolist())
            if len(self._distinct) > MAX_DISTINCT:
                self._distinct = None

    def add_later(self, array: pa.Array) -> None:
        """Add float64 ``[n]`` of rows after *train*."""
        values = array.to_numpy(zero_copy_only=False)
        values = values[np.isfinite(values)]
        self._later += len(values)
        every = np.concatenate([self._outside, values])
        self._outside = every[(every < self._numbers.low) | (every > self._numbers.high)]

    def profile(self) -> FeatureProfile:
        """The profile of the values added so far."""
        numbers, later = None, LaterNumbers(self._numbers)
        later.add(self._outside)
        later.later = self._later
        found = self._numbers
        if found.count:
            numbers = NumberProfile(found.center, found.spread, found.low, found.high, self._whole)
        return FeatureProfile(
            **_common(self._feature, self._side, found.count + found.missing, found.missing),
            distinct=None if self._distinct is None else len(self._distinct),
            numbers=numbers,
            later=self._later,
            new=later.outside if found.count else self._later,
            doubts=tuple(later.doubts(self._feature.buckets)),
        )


Summary = WordSummary | NumberSummary


def summary_of(feature: Feature, side: Side, stride: int = 1) -> Summary:
    """Create the summary of `feature`; quantiles sample every `stride`-th row."""
    if feature.kind == "numeric":
        return NumberSummary(feature, side, stride)
    return WordSummary(feature, side)


def side_table(
    features: Iterable[Feature],
    side: Side,
    frame: pd.DataFrame,
    names: list[str],
    in_train: NDArray[np.bool_],
) -> tuple[list[Summary], int]:
    """Summarize the features of users or items, and count those missing in `frame`.

    Args:
        features: columns of `frame`.
        side: ``"user"`` or ``"item"``.
        frame: the side table, indexed by name.
        names: users or items that occur.
        in_train: bool ``[n]``, which of them occur in *train*.
    """
    known = frame.reindex(names)
    summaries = []
    for feature in features:
        summary = summary_of(feature, side)
        column = _array(known[feature.name], feature)
        summary.add(column.filter(pa.array(in_train)), np.flatnonzero(in_train))
        summary.add_later(column.filter(pa.array(~in_train)))
        summaries.append(summary)
    return summaries, int((~known.index.isin(frame.index)).sum())


def _array(column: pd.Series, feature: Feature) -> pa.Array:
    """A side table's column: numbers, strings, or tuples of them where multi-valued."""
    if feature.kind == "numeric":
        return pa.array(column.to_numpy(np.float64))
    if feature.kind == "multivalued":
        lists = [entry if isinstance(entry, tuple) else () for entry in column]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array(column.to_numpy(object), pa.string(), from_pandas=True)


def _common(feature: Feature, side: Side, entries: int, missing: int) -> dict[str, Any]:
    return {
        "name": feature.name,
        "side": side,
        "kind": feature.kind,
        "entries": entries,
        "missing": missing,
        "share_missing": missing / entries if entries else 0.0,
    }

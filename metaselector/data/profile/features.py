"""Profiles of single features, gathered block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.data.interactions import Feature
from metaselector.data.preparation.codes import Codes, occurring
from metaselector.data.profile.figures import FeatureProfile, NumberProfile, Side
from metaselector.data.profile.tally import Tally

FREQUENT = 5
"""Words that are shown."""
MAX_DISTINCT = 100
"""Distinct numbers that are counted before it is known that there are many."""


class WordSummary:
    """Words of a categorical or multi-valued feature: memory grows with the distinct ones."""

    def __init__(self, feature: Feature, side: Side) -> None:
        self._feature, self._side = feature, side
        self._codes, self._tally = Codes(), Tally()
        self._entries = self._missing = 0

    def add(self, array: pa.Array) -> None:
        """Add strings ``[n]``; words of a multi-valued feature stand between separators."""
        entries, rows = occurring(array)
        counts = np.bincount(rows[rows >= 0], minlength=len(entries))
        words = entries.cast(pa.string())
        if self._feature.kind == "multivalued":
            words = pc.split_pattern(words, self._feature.separator)
        self._add(words, counts)
        nulls = len(rows) - int(counts.sum())
        self._entries += nulls
        self._missing += nulls

    def add_column(self, column: pd.Series) -> None:
        """Add a side table's column: strings, or tuples of them where multi-valued; nan if none."""
        if self._feature.kind == "multivalued":
            lists = [entry if isinstance(entry, tuple) else () for entry in column]
            self._add(pa.array(lists, pa.list_(pa.string())), np.ones(len(lists), dtype=np.int64))
        else:
            self.add(pa.array(column.to_numpy(object), pa.string(), from_pandas=True))

    def _add(self, entries: pa.Array, counts: NDArray[np.int64]) -> None:
        """Add entries, a word or a list of words each, that occur `counts` times."""
        words, entry = entries, np.arange(len(entries))
        if not pa.types.is_string(entries.type):
            words, entry = entries.flatten(), pc.list_parent_indices(entries).to_numpy()
        codes = self._codes.add(words)
        codes, entry = codes[codes >= 0], entry[codes >= 0]
        self._tally.add(codes, counts[entry])
        present = np.zeros(len(counts), dtype=bool)
        present[entry] = True
        self._entries += int(counts.sum())
        self._missing += int(counts[~present].sum())

    def profile(self) -> FeatureProfile:
        """The feature, as far as it was added."""
        counts, words = self._tally.counts(len(self._codes)), self._codes.words
        most = np.argsort(-counts, kind="stable")[:FREQUENT]
        return FeatureProfile(
            **_common(self._feature, self._side, self._entries, self._missing),
            distinct=len(words),
            frequent=tuple((words[code], int(counts[code])) for code in most),
        )


class NumberSummary:
    """Numbers, by the running moments of Chan, Golub and LeVeque (1979); any others are missing."""

    def __init__(self, feature: Feature, side: Side) -> None:
        self._feature, self._side = feature, side
        self._entries = self._n = 0
        self._mean = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf
        self._distinct: set[float] | None = set()

    def add(self, array: pa.Array) -> None:
        """Add float64 ``[n]``."""
        self.add_column(array.to_numpy(zero_copy_only=False))

    def add_column(self, column: pd.Series | NDArray[np.float64]) -> None:
        """Add the column of a side table."""
        values = np.asarray(column, dtype=np.float64)
        self._entries += len(values)
        values = values[np.isfinite(values)]
        if not len(values):
            return
        mean, n = float(values.mean()), self._n + len(values)
        shift = mean - self._mean
        self._squares += float(((values - mean) ** 2).sum())
        self._squares += shift**2 * self._n * len(values) / n
        self._mean += shift * len(values) / n
        self._n = n
        self._low = min(self._low, float(values.min()))
        self._high = max(self._high, float(values.max()))
        if self._distinct is not None:
            self._distinct.update(np.unique(values).tolist())
            if len(self._distinct) > MAX_DISTINCT:
                self._distinct = None

    def profile(self) -> FeatureProfile:
        """The feature, as far as it was added."""
        numbers = None
        if self._n:
            std, known = math.sqrt(self._squares / self._n), self._distinct
            whole = known is not None and all(value.is_integer() for value in known)
            numbers = NumberProfile(self._mean, std, self._low, self._high, whole)
        return FeatureProfile(
            **_common(self._feature, self._side, self._entries, self._entries - self._n),
            distinct=None if self._distinct is None else len(self._distinct),
            numbers=numbers,
        )


def summary_of(feature: Feature, side: Side) -> WordSummary | NumberSummary:
    """What gathers the values of `feature`."""
    return (NumberSummary if feature.kind == "numeric" else WordSummary)(feature, side)


def side_table(
    features: Iterable[Feature], side: Side, frame: pd.DataFrame, names: list[str]
) -> tuple[list[FeatureProfile], int]:
    """Profiles of the features of users or items, and how many of them `frame` does not know.

    Args:
        features: columns of `frame`.
        side: ``"user"`` or ``"item"``.
        frame: the side table, indexed by name.
        names: those that occur.
    """
    known = frame.reindex(names)
    profiles = []
    for feature in features:
        summary = summary_of(feature, side)
        summary.add_column(known[feature.name])
        profiles.append(summary.profile())
    return profiles, int((~known.index.isin(frame.index)).sum())


def _common(feature: Feature, side: Side, entries: int, missing: int) -> dict[str, Any]:
    return {
        "name": feature.name,
        "side": side,
        "kind": feature.kind,
        "entries": entries,
        "missing": missing,
        "share_missing": missing / entries if entries else 0.0,
    }

"""Code the words of a table, block by block, for staging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.ahead import ahead
from metaselector.data.interactions import Interactions, InteractionTable, task_parents
from metaselector.data.preparation.codes import Codes
from metaselector.data.preparation.staging_types import LIST, Lines, staged_type

Columns = Mapping[str, NDArray[Any] | list[NDArray[Any]]]
"""Columns of records by name; a list of columns for a field of several values."""


class Coder:
    """Maps the words of a table to codes, and counts them.

    Attributes:
        words: codes of each word feature.
        users, items: codes of users and items.
        user_rows, item_rows: int64, rows of each code.
        lines: maps a row to its line.
        rows: rows so far.
        first_rows: int64 for users, items and each word feature: the first row in the original log
            with each code; empty if the table is in its order.
        dtype: record type.
    """

    def __init__(self, table: InteractionTable, label_threshold: float) -> None:
        self._table = table
        self._thresholds = [
            label_threshold if task.threshold is None else task.threshold for task in table.tasks
        ]
        self._numbers = [f.name for f in table.features if f.kind == "numeric"]
        self.words = {f.name: Codes() for f in table.features if f.kind != "numeric"}
        self.users, self.items, self.lines = Codes(), Codes(), Lines()
        self.user_rows = self.item_rows = np.zeros(0, dtype=np.int64)
        self.rows = 0
        self.first_rows: list[NDArray[np.int64]] = []
        self._parents = task_parents(table.tasks)
        self.dtype = staged_type(
            len(table.tasks), len(self.words), len(self._numbers), lists=table.lists
        )

    def columns(self) -> Iterator[Columns]:
        """Yield the columns of all records, block by block."""
        for block in ahead(self._table.read()):
            n = len(block.timestamps)
            user = self.users.add(block.user)
            item = np.zeros(n, np.int32) if self._table.tabular else self.items.add(block.item)
            self.user_rows = _count(self.user_rows, user, len(self.users))
            self.item_rows = _count(self.item_rows, item, len(self.items))
            words = [codes.add(block.features[name]) for name, codes in self.words.items()]
            rows = np.arange(self.rows, self.rows + n)
            self.lines.add(self.rows, block.lines)
            if block.rows is not None:
                rows = block.rows
                self._note_first([user, item, *words], rows)
            yield {
                **self._list(block),
                "user": user,
                "item": item,
                "time": block.timestamps,
                "row": rows,
                "labels": list(self._labels(block).T),
                "words": words,
                "numbers": [
                    block.features[name].to_numpy(zero_copy_only=False) for name in self._numbers
                ],
            }
            self.rows += n

    def _note_first(self, columns: Sequence[NDArray[np.int32]], rows: NDArray[np.int64]) -> None:
        """Note the first of the `rows` ``[n]`` with each code, by column of codes ``[n]``."""
        empty = np.zeros(0, dtype=np.int64)
        self.first_rows = self.first_rows or [empty for _ in columns]
        for place, codes in enumerate(columns):
            before, size = self.first_rows[place], int(codes.max(initial=-1)) + 1
            more = np.full(max(size - len(before), 0), np.iinfo(np.int64).max)
            first = self.first_rows[place] = np.concatenate([before, more])
            np.minimum.at(first, codes[codes >= 0], rows[codes >= 0])

    def _list(self, block: Interactions) -> Columns:
        if not self._table.lists:
            return {}
        if block.lists is None:
            raise DataError(self._table.source, "its rows have no lists, which the table promises")
        return {LIST: block.lists}

    def _labels(self, block: Interactions) -> NDArray[np.float32]:
        observed = ~np.isnan(block.labels)
        if self._table.negatives:
            observed[:, 0] = True
        missing = np.flatnonzero(~observed[:, 0])
        if len(missing):
            raise DataError(
                self._table.source,
                "the label is missing, and the first task needs one in every row; remove the row, "
                "or name another task first",
                line=int(block.lines[missing[0]]),
                column=self._table.tasks[0].name,
            )
        labels = (block.labels >= self._thresholds).astype(np.float32)
        labels[~observed] = np.nan
        if self._table.negatives:
            labels[:, 0] = 1
        self._check_order(block, labels)
        return labels

    def _check_order(self, block: Interactions, labels: NDArray[np.float32]) -> None:
        """Raise unless tasks are observed only where the task that they come after is positive."""
        tasks = self._table.tasks
        for place, parent in enumerate(self._parents or ()):
            wrong = np.flatnonzero(~np.isnan(labels[:, place]) & (labels[:, parent] != 1))
            if parent >= 0 and len(wrong):
                raise DataError(
                    self._table.source,
                    f"has a label, although task '{tasks[parent].name}', which must be positive "
                    "first, is not; leave it empty",
                    line=int(block.lines[wrong[0]]),
                    column=tasks[place].name,
                )


def _count(counts: NDArray[np.int64], codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    total = np.bincount(codes, minlength=size)
    total[: len(counts)] += counts
    return total

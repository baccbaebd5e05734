"""Guess which labels come after others, and order them so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metaselector.data.implied_labels import Implied, ImpliedLabels
from metaselector.data.own.column_profile import ROWS
from metaselector.data.own.draft_guesses import Guess, threshold
from metaselector.data.raw.columns import flags, numbers
from metaselector.data.raw.file import RawFile


def implied_labels(file: RawFile, labels: Sequence[Guess], rows: int = ROWS) -> dict[int, Implied]:
    """For each label that is positive only where another one is, that other one.

    Args:
        file: the log.
        labels: its labels, each with a column.
        rows: how many of its first rows to read.
    """
    columns = [guess.column for guess in labels if guess.column is not None]
    least = np.array([1.0 if c.look == "flag" else threshold(c) for c in columns])
    together = ImpliedLabels(len(columns))
    if len(columns) < 2:
        return {}
    for block in file.blocks({column.name: "text" for column in columns}):
        values = [
            (flags if column.look == "flag" else numbers)(block.columns[column.name].slice(0, rows))
            for column in columns
        ]
        together.add(np.stack(values, axis=1), least)
        rows -= len(block.lines)
        if rows <= 0:
            break
    # The first label, which the other one may become, must have no gaps.
    return {each.later: each for each in together.found() if not columns[each.earlier].missing}


def in_order(count: int, implied: dict[int, Implied]) -> list[int]:
    """Indices of `count` labels, each after the one that it implies, else as they are.

    Example:
        >>> in_order(3, {0: Implied(later=0, earlier=2, positives=9)})
        [2, 0, 1]
    """
    placed: list[int] = []

    def place(label: int) -> None:
        if label not in placed:
            if label in implied:
                place(implied[label].earlier)
            placed.append(label)

    for label in range(count):
        place(label)
    return placed

"""Labels of given rows."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.common.errors import LabelWarning
from metaselector.data.interactions import Task
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw.columns import (
    BadValue,
    RawBlock,
    checked,
    flags,
    numbers,
    observed,
    refuse,
)


def labels_of(encoder: FittedEncoder, block: RawBlock) -> NDArray[np.float64]:
    """Read the labels, float64 ``[n, T]``; later tasks without a column are not observed (nan).

    Raises:
        DataError: a label is invalid, by the same rules as in preparation; the message states line
            and column.
    """
    found: dict[str, NDArray[np.float64]] = {}
    positive: dict[str, NDArray[np.bool_]] = {}
    for task in encoder.rows.tasks:
        column, least = encoder.rows.column(task.name), _least(encoder, task)
        values = np.full(len(block.lines), np.nan)
        if column in block.columns:
            values = checked(block, column, partial(_label, task=task, least=least))
        if not found:
            _require_observed(block, column, values)
        positive[task.name] = values >= least
        if task.after is not None:  # the user had no chance to answer
            outside = ~positive[task.after]
            if column in block.columns:
                _refuse_outside(encoder, block, task, outside & positive[task.name])
            values = np.where(outside, np.nan, values)
        found[task.name] = values
    return np.column_stack(list(found.values()))


def positives_of(encoder: FittedEncoder, block: RawBlock) -> NDArray[np.float64]:
    """Labels as in training, 1, 0, or nan if not observed, ``[n, T]``; see :func:`labels_of`."""
    values = labels_of(encoder, block)
    least = np.array([_least(encoder, task) for task in encoder.rows.tasks])
    return np.where(np.isnan(values), np.nan, values >= least)


def flipped(encoder: FittedEncoder, given: RawRows, marked: NDArray[np.bool_]) -> RawRows:
    """The rows with the opposite label of the first task in rows `marked`, ``[n]``.

    A positive gets a value below the smallest positive one, a negative that value itself. A label
    that comes after it is then not observed.
    """
    first = encoder.rows.tasks[0]
    column, least = encoder.rows.column(first.name), _least(encoder, first)
    after = [encoder.rows.column(one.name) for one in encoder.rows.tasks if one.after is not None]
    blocks, start = [], 0
    for block in given.blocks:
        mark = marked[start : start + len(block.lines)]
        start += len(block.lines)
        values = labels_of(encoder, block)[:, 0]
        values = np.where(mark, np.where(values >= least, least - 1, least), values)
        changed = {column: pa.array(values)}
        for name in (name for name in after if name in block.columns):
            unobserved = pa.nulls(len(mark), block.columns[name].type)
            changed[name] = pc.if_else(pa.array(mark), unobserved, block.columns[name])
        blocks.append(block._replace(columns={**block.columns, **changed}))
    return replace(given, blocks=tuple(blocks))


def warn_labels(encoder: FittedEncoder, source: Path, blocks: Collection[RawBlock]) -> None:
    """Issue a :class:`LabelWarning` if a label is 0 and 1 where ratings are expected."""
    for task in encoder.rows.tasks:
        column, least = encoder.rows.column(task.name), _least(encoder, task)
        if least <= 1 or not all(column in block.columns for block in blocks):
            continue
        if _only_zero_and_one(checked(block, column, numbers) for block in blocks):
            text = f"contains only 0 and 1, but positives are {least:g} or more: all are negative"
            text = f"{source} (column {column}): {text}"
            warnings.warn(text, LabelWarning, stacklevel=3)


def _only_zero_and_one(parts: Iterable[NDArray[np.float64]]) -> bool:
    """Whether both occur, and no other number."""
    found: set[float] = set()
    for part in parts:
        found.update(np.unique(part[~np.isnan(part)])[:3].tolist())
        if not found <= {0, 1}:
            return False
    return found == {0, 1}


def _least(encoder: FittedEncoder, task: Task) -> float:
    """Smallest positive value."""
    return encoder.schema.label_threshold if task.threshold is None else task.threshold


def _label(column: pa.Array, task: Task, least: float) -> NDArray[np.float64]:
    """Parse numbers; a 0/1 label may also be false and true."""
    try:
        return flags(column) if task.flag or least == 1 else numbers(column)
    except BadValue:
        if task.flag:
            raise
        return numbers(column)


def _require_observed(block: RawBlock, column: str, values: NDArray[np.float64]) -> None:
    checked(block, column, lambda _: observed(values))


def _refuse_outside(
    encoder: FittedEncoder, block: RawBlock, task: Task, wrong: NDArray[np.bool_]
) -> None:
    """Raise for positives where the task that they come after is not positive."""
    earlier = encoder.rows.column(str(task.after))
    problem = (
        f"is positive, but column '{earlier}', which must be positive first, is not; correct one"
    )
    column = encoder.rows.column(task.name)
    checked(block, column, lambda _: refuse(wrong, lambda _: problem))

"""Check that offsets and indices of a prepared data set are within bounds.

Hashes detect damage, but a data set written on purpose may have valid hashes; invalid indices in it
would cause a traceback, or read other rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.encoded.array_file import release
from metaselector.data.encoded.dataset_files import LIST_OFFSETS
from metaselector.data.encoded.digests import MEND
from metaselector.data.encoded.schema import Owner, Schema

_ROWS = 2**18
"""Rows checked at once: few enough for the CPU cache."""
_CELLS: tuple[tuple[str, Owner], ...] = (
    ("user_cells", "user"),
    ("item_cells", "item"),
    ("cells", "row"),
)


def check_bounds(directory: Path, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check the offsets, indices and ids in the arrays of a data set, whose shapes are consistent.

    Raises:
        DataError: offsets descend or do not end at the length that they divide, an index is out of
            bounds, or an id is not in the schema.
    """
    rows, liked = len(arrays["timestamps"]), len(arrays["liked"])
    ends = {"user_offsets": rows, "liked_offsets": liked}
    if schema.lists:
        ends[LIST_OFFSETS] = rows
        if len(arrays[LIST_OFFSETS]) < 1:
            raise _wrong(directory, LIST_OFFSETS, "is empty")
    for name, end in ends.items():
        offsets = arrays[name]
        if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
            raise _wrong(directory, name, f"contains offsets that do not ascend from 0 to {end:,}")
    if schema.lists and not np.isin(arrays["user_offsets"], arrays[LIST_OFFSETS]).all():
        raise _wrong(directory, LIST_OFFSETS, "contains a list of several users")
    for name, most in (("items", len(arrays["item_cells"])), ("liked", schema.num_ids)):
        _check(directory, name, arrays[name][:, None], most)
    for name, owner in _CELLS:
        # Cells of numeric fields are bits of floats, not ids.
        kinds = [field.kind for field in schema.fields_of(owner) for _ in range(field.slots)]
        ids = np.flatnonzero(np.array(kinds) != "numeric")
        array = arrays[name]
        for first in range(0, len(array) if len(ids) else 0, _ROWS):
            block = array[first : first + _ROWS]
            _check(
                directory, name, block if len(ids) == len(kinds) else block[:, ids], schema.num_ids
            )
            release(array)
    _check_histories(directory, arrays)
    for array in arrays.values():
        release(array)


def _check_histories(directory: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check that a row's history is not longer than its user's positives."""
    offsets, most = arrays["user_offsets"], np.diff(arrays["liked_offsets"])
    for first in range(0, len(most), _ROWS):
        part = slice(first, first + _ROWS)
        rows = offsets[first : first + _ROWS + 1]
        sizes = arrays["history_sizes"][rows[0] : rows[-1]]
        if ((sizes < 0) | (sizes > np.repeat(most[part], np.diff(rows)))).any():
            raise _wrong(
                directory, "history_sizes", "contains a history longer than its user's positives"
            )


def _check(directory: Path, name: str, block: NDArray[np.int32], end: int) -> None:
    # Negative numbers are large as unsigned ones, so one pass finds both.
    if block.size and int(np.ascontiguousarray(block).view(np.uint32).max()) >= end:
        raise _wrong(directory, name, f"contains a number that is not from 0 to {end - 1:,}")


def _wrong(directory: Path, name: str, problem: str) -> DataError:
    return DataError(directory / f"{name}.npy", f"{problem}; {MEND}")

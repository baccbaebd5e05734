"""Columns of lists of words, in any of Arrow's list types."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def is_listed(type_: pa.DataType) -> bool:
    """Whether values are lists, of variable or fixed length."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    views = (pa.types.is_list_view, pa.types.is_large_list_view)
    return any(kind(type_) for kind in (*kinds, *views))


def entries_of(column: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Flatten lists ``[n]`` into entries, and the row of each, int64 ``[m]``.

    Null lists have no entries, whatever their buffers hold.
    """
    sizes = pc.list_value_length(column).fill_null(0).to_numpy()
    return column.flatten(), np.repeat(np.arange(len(column)), sizes)


def joined(entries: pa.Array, rows: NDArray[np.int64], lists: pa.Array, separator: str) -> pa.Array:
    """Join the words of each list by `separator`; null lists become null.

    Args:
        entries: strings ``[m]``; nulls are left out.
        rows: int64 ``[m]``, the row of each entry in `lists`.
        lists: the lists, ``[n]``.
        separator: the separator.
    """
    present = entries.is_valid()
    counts = np.bincount(rows[present.to_numpy(zero_copy_only=False)], minlength=len(lists))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    found = pa.LargeListArray.from_arrays(offsets, entries.filter(present))
    return pc.if_else(lists.is_valid(), pc.binary_join(found, separator), None)

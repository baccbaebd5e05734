"""Map words to integer codes, block by block, and count codes."""

from __future__ import annotations

from itertools import islice, repeat

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.data.interactions import Ints

_MISSING, _NEW = -1, -2
_EXTRA = 2  # entries of a look-up table that are no words
_MANY, _RATIO = 2000, 4


class Codes:
    """Assigns codes to words in order of first occurrence, independent of block boundaries.

    Each distinct word of a block costs one look-up in Python.
    """

    def __init__(self) -> None:
        self._code: dict[str | None, int] = {None: _MISSING, "": _MISSING}
        self._array = pa.array([], pa.string())

    def __len__(self) -> int:
        return len(self._code) - _EXTRA

    @property
    def words(self) -> list[str]:
        """The word of each code, as a new list."""
        return [word for word in self._code if word]

    def add(self, array: pa.Array) -> NDArray[np.int32]:
        """Return the codes of `array`; new words get the next codes.

        Args:
            array: strings ``[n]``, plain or dictionary-encoded. Unused dictionary entries get no
                code; repeated entries share one.

        Returns:
            int32 ``[n]``; -1 if the word is null or empty.
        """
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        entries = array.dictionary
        codes = np.full(len(entries) + 1, _MISSING, dtype=np.int32)  # the last answers a null
        codes[:-1] = self._look_up(entries)
        rows = _entry_of_rows(array)
        new = codes == _NEW
        if new.any():
            found = pd.unique(rows[new[rows]])  # in order of their first row
            before = len(self)
            for entry, word in zip(found, entries.take(pa.array(found)).to_pylist(), strict=True):
                codes[entry] = self._code.setdefault(word, len(self))
            if len(self) > before:
                added = list(islice(self._code, before + _EXTRA, None))
                self._array = pa.concat_arrays([self._array, pa.array(added, pa.string())])
        return codes[rows]

    def _look_up(self, entries: pa.Array) -> NDArray[np.int32]:
        """The code of each entry so far."""
        if len(entries) < _MANY or len(entries) * _RATIO < len(self):
            found = map(self._code.get, entries.to_pylist(), repeat(_NEW))
            return np.fromiter(found, np.int32, len(entries))
        # Hashing all words again is faster than as many look-ups in Python.
        codes = pc.index_in(entries, value_set=self._array).fill_null(_NEW).to_numpy().copy()
        empty = pc.fill_null(pc.equal(entries, ""), True).to_numpy(zero_copy_only=False)
        codes[empty] = _MISSING
        return codes


def occurring(array: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Find the entries that occur in `array`, in order of their first row, and each row's entry.

    Args:
        array: strings ``[n]``, plain or dictionary-encoded.

    Returns:
        Entries, strings ``[m]``, distinct unless a dictionary repeats some, null only if a
        dictionary holds a null; and the entry of each row, int64 ``[n]``, -1 if it is null.
    """
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    size = len(array.dictionary)
    rows = _entry_of_rows(array)
    # The last write wins: going backwards, the first row's.
    first = np.full(size + 1, len(rows), dtype=np.int64)
    first[rows[::-1]] = np.arange(len(rows) - 1, -1, -1)
    used = np.argsort(first[:size], kind="stable")
    used = used[: np.count_nonzero(first[:size] < len(rows))]
    place = np.full(size + 1, -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    return array.dictionary.take(pa.array(used)), place[rows]


def _entry_of_rows(array: pa.DictionaryArray) -> NDArray[np.integer]:
    """Which entry of the dictionary each row has, one past the last where it is null."""
    indices = array.indices
    return (indices.fill_null(len(array.dictionary)) if indices.null_count else indices).to_numpy()


class Tally:
    """Counts how often each code occurs."""

    def __init__(self) -> None:
        self._counts: Ints = np.zeros(1024, dtype=np.int64)

    def add(self, codes: NDArray[np.integer], weights: Ints | int = 1) -> None:
        """Count `codes` ``[n]``, none negative, each once or `weights` ``[n]`` times."""
        needed = int(codes.max(initial=-1)) + 1
        if needed > len(self._counts):  # doubled, so that growing costs little in all
            grown = np.zeros(max(needed, 2 * len(self._counts)), dtype=np.int64)
            grown[: len(self._counts)] = self._counts
            self._counts = grown
        np.add.at(self._counts, codes, weights)

    def counts(self, n: int) -> Ints:
        """The counts of codes 0 to `n` - 1, int64 ``[n]``."""
        found = self._counts[:n]
        return np.concatenate([found, np.zeros(n - len(found), dtype=np.int64)])

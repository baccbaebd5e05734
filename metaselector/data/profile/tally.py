"""How often each code occurs, counted block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints


class Tally:
    """How often each code occurs."""

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

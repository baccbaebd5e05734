"""Tables of runs with invented numbers."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from metaselector.report.support import SUPPORT_COLUMNS

_LOGLOSS = {"lr": 0.60, "uniform": 0.59, "metaselector": 0.58, "oracle-sample": 0.3}


@pytest.fixture(scope="session")
def make_support() -> Callable[[list[int]], pd.DataFrame]:
    """``support.csv`` of the given seeds, for support sizes 20 and 5."""

    def make(seeds: list[int]) -> pd.DataFrame:
        rows = [
            ("tiny", seed, model, size, 1 - loss, loss - size / 1000 + seed / 100, 7, 1234)
            for size in (20, 5)
            for seed in seeds
            for model, loss in _LOGLOSS.items()
        ]
        return pd.DataFrame(rows, columns=list(SUPPORT_COLUMNS))

    return make

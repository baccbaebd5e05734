"""The figure of a run on new users."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from metaselector.report.figures.support import support_sizes
from metaselector.report.support import SUPPORT_COLUMNS

_LOGLOSS = {"lr": 0.60, "uniform": 0.59, "metaselector": 0.58, "oracle-sample": 0.3}


def _support(seeds: list[int]) -> pd.DataFrame:
    rows = [
        ("tiny", seed, model, size, 1 - loss, loss - size / 1000 + seed / 100, 7, 1234)
        for size in (20, 5)
        for seed in seeds
        for model, loss in _LOGLOSS.items()
    ]
    return pd.DataFrame(rows, columns=list(SUPPORT_COLUMNS))


def test_larger_supports_are_darker_dots_at_their_values() -> None:
    figure = support_sizes(_support([0, 1]))
    _, losses = figure.axes
    small, large = losses.lines
    assert small.get_xdata() == pytest.approx([0.6, 0.59, 0.58])  # without the sample-level oracle
    assert large.get_xdata() == pytest.approx([0.585, 0.575, 0.565])

    def brightness(colour: object) -> int:
        return sum(bytes.fromhex(to_hex(colour)[1:]))  # type: ignore[arg-type]

    assert brightness(large.get_color()) < brightness(small.get_color())

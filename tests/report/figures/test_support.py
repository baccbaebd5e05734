"""The figure of a run on new users."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from metaselector.report.figures.support import support_sizes

MakeSupport = Callable[[list[int]], pd.DataFrame]


def test_larger_supports_are_darker_dots_at_their_values(make_support: MakeSupport) -> None:
    support = make_support([0, 1])
    bound = support[support["model"] == "lr"].assign(model="chance", common_auc=float("nan"))
    figure = support_sizes(pd.concat([support, bound]))
    _, losses = figure.axes
    small, large = losses.lines
    assert small.get_xdata() == pytest.approx([0.6, 0.59, 0.58])  # without bounds
    assert large.get_xdata() == pytest.approx([0.585, 0.575, 0.565])

    def brightness(colour: object) -> int:
        return sum(bytes.fromhex(to_hex(colour)[1:]))  # type: ignore[arg-type]

    assert brightness(large.get_color()) < brightness(small.get_color())

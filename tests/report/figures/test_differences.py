"""The figure of joint MetaSelector's differences, and the values that the page shows."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

from metaselector.report.figures.differences import compared_rows, differences_to_joint
from metaselector.report.figures.results import comparison
from metaselector.report.figures.style import Plot
from tests.report.invented import LOSSES, differences, results

ROWS = ["fm", "uniform", "user-finetuned", "user-finetuned-residuals", "metaselector-untrained"]


def test_filled_dots_are_significant() -> None:
    loss, area, ranking = differences_to_joint(compared_rows(differences())).axes
    dots = [line for line in loss.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == pytest.approx(
        [LOSSES["metaselector"] - LOSSES[row] for row in ROWS]
    )
    assert [to_hex(dot.get_markerfacecolor()) == "#ffffff" for dot in dots] == [
        False, False, False, True, True,
    ]  # fmt: skip
    ends = [line.get_xdata() for line in loss.lines if line.get_marker() == "None"][1:]
    assert [high - low for low, high in ends] == pytest.approx([0.004] * len(ROWS))
    assert [label.get_text() for label in loss.get_yticklabels()] == ROWS
    assert area.get_xlabel().startswith("AUC")
    open_dots = [line for line in ranking.lines if line.get_marker() == "o"]
    assert {to_hex(dot.get_markerfacecolor()) for dot in open_dots} == {"#ffffff"}


def test_without_p_values_nothing_is_filled_or_explained() -> None:
    figure = differences_to_joint(compared_rows(differences().assign(p_holm=np.nan)))
    assert figure.legends == []
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert {to_hex(dot.get_markerfacecolor()) for dot in dots} == {"#ffffff"}


def test_rows_that_are_shown() -> None:
    assert list(dict.fromkeys(compared_rows(differences())["baseline"])) == ROWS
    # No model is the best single one for all seeds: all are shown.
    several = differences().replace({"baseline": {"fm": "other"}}).query("family == 'metaselector'")
    assert {"lr", "other", "lr-train"} <= set(compared_rows(several)["baseline"])
    assert compared_rows(differences().query("family != 'metaselector'")).empty


def test_values_are_those_of_the_file() -> None:
    figure = differences_to_joint(compared_rows(differences()))
    assert isinstance(figure, Plot)
    assert [(value.x, value.y) for value in figure.values[:2]] == [
        (pytest.approx(-0.04), 0.0), (pytest.approx(-0.03), 1.0),
    ]  # fmt: skip
    assert figure.values[0].text == "metaselector − fm: -0.0400 [-0.0420, -0.0380], p = 0.010"
    shown = comparison(results())
    assert isinstance(shown, Plot)
    texts = [value.text for value in shown.values]
    assert "metaselector: AUC 0.6600" in texts
    assert "oracle-user: logloss 0.5000" in texts

"""The figure of headroom by rows of evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaselector.common.errors import DataError
from metaselector.report.figures.headroom import headroom
from metaselector.report.figures.run import FIGURES
from metaselector.report.figures.style import Plot
from tests.report.invented import headroom as invented


def _labelled(axes: Axes) -> dict[str, list[float]]:
    """The heights of lines with a name."""
    lines = {str(line.get_label()): line.get_ydata() for line in axes.lines}
    return {
        name: np.asarray(y, np.float64).tolist()
        for name, y in lines.items()
        if not name.startswith("_")
    }


def _legend(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_the_curve_and_its_bounds() -> None:
    figure = headroom(invented([0]))
    axes, _ = figure.axes
    shown = _labelled(axes)
    curve = [0, *(0.01 * np.log2([2, 6, 21]))]
    assert shown["choice after n rows"] == pytest.approx(curve), "no evidence, no gain"
    assert shown["perfect knowledge"] == [0.05] * 2, "not that among fewer models"
    assert shown["oracle by chance"] == [0.06] * 2
    band = axes.collections[0].get_datalim(axes.transData)
    assert (band.y0, band.y1) == pytest.approx((min(0, curve[1] - 0.01), curve[-1] + 0.01))
    assert [patch.get_bbox().intervaly.tolist() for patch in axes.patches] == [
        pytest.approx([0.04, 0.06]),
        pytest.approx([0.05, 0.07]),
    ]


def test_the_support_sizes_that_users_have() -> None:
    figure = headroom(invented([0]))
    axes, strip = figure.axes
    wide, half, median = (line.get_xdata() for line in strip.lines)
    assert [list(wide), list(half), list(median)] == [[0, 30], [2, 9], [5]]
    quartiles = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "-."]
    assert quartiles == [2, 5, 9]
    assert [label.get_text() for label in strip.get_xticklabels()] == ["0", "1", "5", "20", "40"]
    assert strip.get_xlim() == axes.get_xlim() == (0, 40), "users beyond the curve are seen"


def test_equal_support_sizes_are_marked_once() -> None:
    table = invented([0])
    table.loc[table["figure"].str.startswith("support-size"), "value"] = 7
    figure = headroom(table)
    marks = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "-."]
    assert marks == [7]
    assert _legend(figure).count("quartiles of users") == 1


@pytest.mark.parametrize(("seeds", "more"), [([4], 0.004), ([2, 6], 0.004), ([0, 2, 7], 0.003)])
def test_means_over_seeds(seeds: list[int], more: float) -> None:
    shown = _labelled(headroom(invented(seeds)).axes[0])
    assert shown["perfect knowledge"] == pytest.approx([0.05 + more] * 2)


def test_predictions_of_other_systems_have_no_support_sizes() -> None:
    figure = headroom(invented([0], ["theirs"]).assign(seed=pd.NA))
    (axes,) = figure.axes
    assert axes.get_xlabel() == "rows of evidence on the user"
    assert _legend(figure) == ["choice after n rows", "perfect knowledge", "oracle by chance"]
    assert _labelled(axes)["perfect knowledge"] == [0.05] * 2


def test_chance_far_above_is_only_named() -> None:
    table = invented([0])
    table.loc[table["figure"] == "chance", "value"] = 0.5
    figure = headroom(table)
    assert "oracle by chance: 0.5000 ↑" in _legend(figure)
    assert figure.axes[0].get_ylim()[1] < 0.1


def test_negative_gains_without_intervals() -> None:
    table = invented([0])
    table["value"] = -table["value"].where(table["n"].notna(), -table["value"])
    figure = headroom(table.assign(low=np.nan, high=np.nan))
    assert figure.axes[0].get_ylim()[0] < -0.04


def test_values_that_readers_can_point_at() -> None:
    figure = headroom(invented([0]))
    assert isinstance(figure, Plot)
    texts = [value.text for value in figure.values]
    assert "1 row of evidence: +0.0100 [+0.0000, +0.0200]" in texts
    assert "perfect knowledge: +0.0500 [+0.0400, +0.0600]" in texts
    assert "50 % of users have at most 5 support rows" in texts


def test_read_from_a_file(tmp_path: Path) -> None:
    table = invented([0, 1])
    table.to_csv(tmp_path / "headroom.csv", index=False)
    figure = FIGURES["headroom"].draw(FIGURES["headroom"].read(tmp_path))
    assert _labelled(figure.axes[0]) == _labelled(headroom(table).axes[0])
    table.assign(n="many").to_csv(tmp_path / "headroom.csv", index=False)
    with pytest.raises(DataError, match=r"\(column n\): .*text.*run `metaselector headroom`"):
        FIGURES["headroom"].read(tmp_path)

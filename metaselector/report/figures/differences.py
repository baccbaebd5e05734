"""Figure of joint MetaSelector's differences to the other rows."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.evaluate.comparisons import BEST_SINGLE, TARGET
from metaselector.evaluate.intervals import SIGNIFICANT
from metaselector.report.figures.style import (
    BLACK,
    GROUP_COLOURS,
    finish,
    new_figure,
    row_labels,
    styled,
    value,
)
from metaselector.report.groups import SINGLE, group_of, in_groups
from metaselector.report.summary import DIFFERENCE, difference_text

_METRICS = {"logloss": "logloss\n← better", "auc": "AUC\nbetter →", "gauc": "GAUC\nbetter →"}
_ROW = 0.16  # inches


def compared_rows(differences: pd.DataFrame) -> pd.DataFrame:
    """Lines of ``differences.csv`` that :func:`differences_to_joint` shows; it may have none.

    Of single models, only the best one on *valid* is shown, unless none is that for all seeds.
    """
    target = differences[differences["family"] == TARGET]
    best = set(differences.loc[differences["family"] == BEST_SINGLE, "baseline"])
    single = target["baseline"].map(group_of) == SINGLE
    if single.any() and best & set(target["baseline"]):
        target = target[~single | target["baseline"].isin(best)]
    return target[target["metric"].isin(_METRICS) & target["low"].notna()]


def differences_to_joint(differences: pd.DataFrame) -> Figure:
    """Joint MetaSelector minus each row, with 95 % intervals; a filled dot is significant.

    Args:
        differences: lines of ``differences.csv`` as from :func:`compared_rows`, at least one.
    """
    with styled():
        rows = in_groups(differences["baseline"])
        metrics = [name for name in _METRICS if name in set(differences["metric"])]
        figure = new_figure(1.0 + _ROW * len(rows))
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            of_metric = differences[differences["metric"] == metric].set_index("baseline")
            _intervals(axes, of_metric, rows)
            axes.set_xlabel(_METRICS[metric])
            axes.tick_params(axis="y", length=0)
        row_labels(panels[0], rows)
        if differences["p_holm"].notna().any():
            kinds = {"p < 0.05 after Holm's correction": BLACK, "not significant": "white"}
            handles = [
                Line2D([], [], color=BLACK, marker="o", linestyle="", markerfacecolor=fill)
                for fill in kinds.values()
            ]
            figure.legend(handles, list(kinds), loc="outside upper right", ncols=2)
        return finish(figure)


def _intervals(axes: Axes, lines: pd.DataFrame, rows: list[str]) -> None:
    axes.axvline(0, color=BLACK, linewidth=0.6)
    for position, row in enumerate(rows):
        if row not in lines.index:
            continue
        line = lines.loc[row]
        colour = GROUP_COLOURS[group_of(row)]
        axes.plot([line["low"], line["high"]], [position] * 2, color=colour)
        filled = line["p_holm"] < SIGNIFICANT
        face = colour if filled else "white"
        axes.plot(line["difference"], position, "o", color=colour, markerfacecolor=face)
        text = difference_text(
            *line.reindex(list(DIFFERENCE)), with_p=bool(pd.notna(line["p_holm"]))
        )
        value(axes, line["difference"], position, f"{TARGET} − {row}: {text}")
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.xaxis.set_major_formatter("{x:g}")  # short, so that panels do not touch
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y")

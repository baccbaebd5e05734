"""Figure of what the outer loop learned besides rates: weights of rows and the correction."""

from __future__ import annotations

from math import ceil

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.report.figures.style import (
    CYCLE,
    finish,
    new_figure,
    short_name,
    styled,
    value,
)
from metaselector.report.groups import in_groups

_COLUMNS = 2


def learned_numbers(numbers: pd.DataFrame) -> Figure:
    """Each learned number over epochs, one panel per number and one line per model.

    Numbers with several values, such as one for each step, are shown as mean and range. Everything
    is averaged over seeds.

    Args:
        numbers: the lines of ``rates.csv`` that are no rates.
    """
    with styled():
        models = in_groups(numbers["model"])
        colour = {model: CYCLE[i % len(CYCLE)] for i, model in enumerate(models)}
        names = list(dict.fromkeys(numbers["group"]))
        rows = ceil(len(names) / _COLUMNS)
        figure = new_figure(1.1 + 1.25 * rows)
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            of_number = numbers[numbers["group"] == name]
            for model, curve in of_number.groupby("model", sort=False):
                found = curve.groupby("epoch")[["mean", "low", "high"]].mean()
                marker = "." if len(found) == 1 else ""  # a line of one point is invisible
                axes.plot(found.index, found["mean"], color=colour[str(model)], marker=marker)
                axes.fill_between(
                    found.index, found["low"], found["high"], color=colour[str(model)], alpha=0.15
                )
                for line in found.itertuples():
                    span = f"{line.mean:.3g} [{line.low:.3g}, {line.high:.3g}]"
                    value(axes, line.Index, line.mean, f"{model}, epoch {line.Index}: {span}")
            axes.set_title(short_name(name), fontsize=7)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        for axes in panels[len(names) :]:
            axes.remove()
        figure.supxlabel("epoch", fontsize=7)
        handles = [Line2D([], [], color=colour[m], label=short_name(m)) for m in models]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
        return finish(figure)

"""Figure of a run on new users: models by support size."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.evaluate.bounds import BOUNDS
from metaselector.report.figures.style import finish, new_figure, row_labels, styled, value
from metaselector.report.groups import in_groups

_METRICS = {
    "common_auc": "AUC\n(higher is better)",
    "common_logloss": "logloss\n(lower is better)",
}
_LEFT_OUT = ("oracle-sample", *BOUNDS)
_ROW = 0.16  # inches


def support_sizes(support: pd.DataFrame) -> Figure:
    """AUC and logloss of every model; a dot per support size, darker for larger ones.

    Means over seeds, on the rows that remain at all sizes. The sample-level oracle is left out,
    because its range would squeeze the other models together, and so are bounds without an AUC.

    Args:
        support: ``support.csv``.
    """
    with styled():
        models = [model for model in in_groups(support["model"]) if model not in _LEFT_OUT]
        sizes = sorted(support["support_size"].unique())
        shades = matplotlib.colormaps["viridis_r"](np.linspace(0.1, 1, len(sizes)))
        figure = new_figure(0.95 + _ROW * len(models))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (metric, title) in zip(panels, _METRICS.items(), strict=True):
            means = support.groupby(["support_size", "model"])[metric].mean()
            for size, shade in zip(sizes, shades, strict=True):
                axes.plot(means[size][models], range(len(models)), "o", color=shade, markersize=3)
                for position, model in enumerate(models):
                    found = means[size][model]
                    name = title.partition("\n")[0]
                    value(axes, found, position, f"{model}, {size} rows: {name} {found:.4f}")
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(2))
            axes.set_xlabel(title)
        row_labels(panels[0], models)
        panels[1].tick_params(axis="y", length=0)
        handles = [
            Line2D([], [], color=shade, marker="o", linestyle="", markersize=3) for shade in shades
        ]
        names = [f"{size} rows" for size in sizes]
        figure.legend(handles, names, loc="outside upper center", ncols=4)
        return finish(figure)

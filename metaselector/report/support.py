"""The overview of a run on new users: every model by the number of rows it adapts on."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.report.figures.style import finish, new_figure, row_labels, styled
from metaselector.report.groups import group_of, in_groups
from metaselector.report.inputs import only_value, read_command, read_table
from metaselector.report.summary import Summary, mean_cells

SUPPORT_FILE = "support.csv"
SUPPORT_COLUMNS = (
    "dataset",
    "seed",
    "model",
    "support_size",
    "common_auc",
    "common_logloss",
    "common_users",
    "common_test",
)
_METRICS = {"common_logloss": "logloss", "common_auc": "AUC"}
_ROW = 0.16  # inches


def read_support(run_dir: Path) -> Summary:
    """The overview from ``support.csv``: means over seeds, of the rows that all sizes leave.

    Raises:
        DataError: ``support.csv`` or ``environment.json`` is missing or damaged.
    """
    path = run_dir / SUPPORT_FILE
    support = read_table(path, SUPPORT_COLUMNS)
    sizes = sorted(support["support_size"].unique())
    models = in_groups(support["model"])
    columns = [
        mean_cells(support[support["support_size"] == size], models, metric)
        for metric in _METRICS
        for size in sizes
    ]
    lines = dict(zip(models, map(list, zip(*columns, strict=True)), strict=True))
    users, rows = (support[name].iloc[0] for name in ("common_users", "common_test"))
    seeds = list(dict.fromkeys(support["seed"]))
    notes = [
        f"{'Seeds' if len(seeds) > 1 else 'Seed'} {', '.join(map(str, seeds))}; "
        f"the columns say how many of a new user's first rows are known.",
        f"All columns are of the same {rows:,} rows of {users:,} users, those after a user's first "
        f"{sizes[-1]}, so that they can be compared; the folders support-<n> have the tables of "
        "all rows after the first n, and of all users who have any.",
    ]
    if len(seeds) > 1:
        notes.append("Mean ± standard deviation over seeds.")
    return Summary(
        name=f"{only_value(support, 'dataset', path)}, cold-start users",
        notes=notes,
        titles=[f"{title} {size}" for title in _METRICS.values() for size in sizes],
        groups=[(g, [(m, lines[m]) for m in mine]) for g, mine in groupby(models, key=group_of)],
        command=read_command(run_dir / "environment.json"),
    )


def support_sizes(support: pd.DataFrame) -> Figure:
    """AUC and logloss of every model, a dot for each support size, the darker the larger.

    Means over seeds, of the rows that all sizes leave. The sample-level oracle, which would squeeze
    the others together, is left out.

    Args:
        support: ``support.csv``.
    """
    with styled():
        models = [model for model in in_groups(support["model"]) if model != "oracle-sample"]
        sizes = sorted(support["support_size"].unique())
        shades = matplotlib.colormaps["viridis_r"](np.linspace(0.1, 1, len(sizes)))
        figure = new_figure(0.95 + _ROW * len(models))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, metric in zip(panels, reversed(_METRICS), strict=True):
            means = support.groupby(["support_size", "model"])[metric].mean()
            for size, shade in zip(sizes, shades, strict=True):
                axes.plot(means[size][models], range(len(models)), "o", color=shade, markersize=3)
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(2))
        panels[0].set_xlabel("AUC\n(higher is better)")
        panels[1].set_xlabel("logloss\n(lower is better)")
        row_labels(panels[0], models)
        panels[1].tick_params(axis="y", length=0)
        handles = [
            Line2D([], [], color=shade, marker="o", linestyle="", markersize=3) for shade in shades
        ]
        names = [f"{size} rows" for size in sizes]
        figure.legend(handles, names, loc="outside upper center", ncols=4)
        return finish(figure)

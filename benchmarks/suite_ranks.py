"""Mean ranks of the rows over data sets, with their intervals, and the figure of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import rankdata

from benchmarks.suite_tables import Table
from metaselector.data.interactions import Floats
from metaselector.report.figures.style import DPI, GROUP_COLOURS, WIDTH, finish, row_labels, styled
from metaselector.report.groups import ORACLE, group_of, in_groups

DRAWS = 10_000
COLUMNS = ("model", "rank", "low", "high")
_ROW = 0.16  # inches


def common_rows(tables: Sequence[Table]) -> list[str]:
    """The rows that all tables have, without oracles, in the order of the first table."""
    first, *others = (list(dict.fromkeys(table.results["model"])) for table in tables)
    shared = [row for row in first if all(row in rows for rows in others)]
    return [row for row in in_groups(shared) if group_of(row) != ORACLE]


def mean_ranks(tables: Sequence[Table], draws: int = DRAWS) -> pd.DataFrame:
    """Mean rank in logloss of the rows that all tables have; 1 is the lowest logloss.

    Tables of one data set, as for several support sizes, count as one: their ranks are averaged.

    The 95 % interval is a percentile interval of two-level resamples: data sets are drawn with
    replacement, and in each table its seeds, whose mean logloss is ranked anew. With one data set
    only seeds vary.

    Returns:
        Columns :data:`COLUMNS`, the lowest mean rank first.
    """
    rows, generator = common_rows(tables), np.random.default_rng(0)
    names = list(dict.fromkeys(table.dataset for table in tables))
    own, drawn = np.zeros((len(names), len(rows))), np.zeros((len(names), draws, len(rows)))
    for place, name in enumerate(names):
        of_name = [table for table in tables if table.dataset == name]
        for table in of_name:
            losses = table.results.pivot(index="seed", columns="model", values="logloss")
            values = losses[rows].to_numpy(np.float64)  # [S, M]
            seeds = generator.integers(len(values), size=(draws, len(values)))
            own[place] += _ranks(values.mean(axis=0)) / len(of_name)
            drawn[place] += _ranks(values[seeds].mean(axis=1)) / len(of_name)  # [R, M]
    sets = generator.integers(len(names), size=(draws, len(names)))
    means = drawn[sets, np.arange(draws)[:, None]].mean(axis=1)  # [R, M]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    found = pd.DataFrame({"model": rows, "rank": own.mean(axis=0), "low": low, "high": high})
    return found.sort_values("rank", kind="stable", ignore_index=True)


def _ranks(losses: Floats) -> Floats:
    """Ranks along the last axis; equal losses share the mean of theirs."""
    ranks: Floats = rankdata(losses, axis=-1)
    return ranks


def ranks_figure(ranks: Mapping[str, pd.DataFrame]) -> Figure:
    """Mean ranks with their intervals: a panel per protocol, rows as in the first panel.

    Args:
        ranks: by title of the panel, output of :func:`mean_ranks`.
    """
    models = list(dict.fromkeys(m for table in ranks.values() for m in table["model"]))
    with styled():
        figure = Figure(
            figsize=(2 * WIDTH, 0.75 + _ROW * len(models)), dpi=DPI, layout="constrained"
        )
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, len(ranks), sharey=True, squeeze=False)[0]
        for axes, (title, table) in zip(panels, ranks.items(), strict=True):
            for model, rank, low, high in table.itertuples(index=False, name=None):
                place, colour = models.index(model), GROUP_COLOURS[group_of(model)]
                axes.plot([low, high], [place, place], color=colour, linewidth=1)
                axes.plot(rank, place, "o", markersize=3.5, color=colour)
            axes.set_title(title.replace(", ", ",\n"))
            axes.set_xlim(0.5, len(models) + 0.5)
            axes.set_xlabel("mean rank in logloss\n(1 is best)")
            axes.grid(axis="both")
            axes.tick_params(axis="y", length=0)
        row_labels(panels[0], models)
        return finish(figure)

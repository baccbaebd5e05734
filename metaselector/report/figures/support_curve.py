"""Figure of models by number of support rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaselector.evaluate.support_curve import MODELS, NOT_ADAPTED
from metaselector.report.figures.style import (
    BLACK,
    BLUE,
    finish,
    model_colours,
    new_figure,
    styled,
    value,
)


def support_curve(differences: pd.DataFrame) -> Figure:
    """Logloss by number of support rows, and the effect of adapting with its 95 % interval.

    Means over seeds. The numbers of rows are evenly spaced.

    Args:
        differences: ``support_curve_differences.csv``.
    """
    found = differences[
        differences["metric"].eq("logloss") & differences["baseline"].eq(NOT_ADAPTED)
    ]
    sizes = sorted(found["n"].unique())
    models = [model for model in MODELS if model in set(found["model"])]
    by_model = {model: found[found["model"] == model].sort_values("n") for model in models}
    colours = {**model_colours(models), NOT_ADAPTED: BLACK, "user-finetuned": BLUE}
    with styled():
        figure = new_figure(3.6)
        levels, effects = figure.subplots(2, 1, sharex=True)
        unadapted = found.drop_duplicates("n").sort_values("n")["baseline_value"]
        levels.plot(range(len(sizes)), unadapted, "--", color=BLACK, label=NOT_ADAPTED)
        effects.axhline(0, linestyle="--", color=BLACK)
        for model, lines in by_model.items():
            _plot(levels, effects, lines, sizes, colours[model], model)
        levels.set_ylabel("logloss\n(lower is better)")
        effects.set_ylabel(f"logloss − {NOT_ADAPTED},\n95 % interval")
        effects.set_xlabel("support rows")
        effects.set_xticks(range(len(sizes)), [str(n) for n in sizes])
        for axes in (levels, effects):
            axes.grid(axis="y")
        figure.legend(*levels.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return finish(figure)


def _plot(
    levels: Axes, effects: Axes, lines: pd.DataFrame, sizes: list[int], colour: str, model: str
) -> None:
    at = np.searchsorted(sizes, lines["n"])
    levels.plot(at, lines["value"], "o-", color=colour, markersize=3, label=model)
    effects.plot(at, lines["difference"], "o-", color=colour, markersize=3)
    effects.fill_between(at, lines["low"], lines["high"], color=colour, alpha=0.2, linewidth=0)
    for x, line in zip(at, lines.itertuples(), strict=True):
        where = f"{model}, {line.n} support rows"
        value(levels, x, line.value, f"{where}: logloss {line.value:.4f}")
        change = f"{line.difference:+.4f} [{line.low:+.4f}, {line.high:+.4f}]"
        value(effects, x, line.difference, f"{where}: {change} to {NOT_ADAPTED}")

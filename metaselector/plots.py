"""Figures in Python: each function draws one, and returns its matplotlib axes.

They are the figures that ``metaselector report`` shows. A `source` is a fitted
:class:`~metaselector.api.model.MetaSelector`, the directory of a run, or the table that a figure
shows. In a notebook the figure appears below the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from metaselector.common.errors import UserError
from metaselector.inference.adapted_user import AdaptedUser
from metaselector.report.figures.analysis import ANALYSIS_FIGURES, MEND
from metaselector.report.figures.run import FIGURES
from metaselector.report.figures.style import (
    Plot,
    figures_by,
    finish,
    model_colours,
    new_figure,
    styled,
)
from metaselector.report.inputs import read_table

Panels = NDArray[np.object_]
"""Axes ``[n]``, in the order in which they were added."""
_DPI = 150


def comparison(source: Any) -> Panels:
    """AUC and logloss of all models, oracles as lines.

    Args:
        source: a model that was evaluated, a run's directory, or ``results.csv`` as a table.

    Raises:
        DataError: the run was not evaluated.

    Example:
        >>> names = ["lr", "fm", "metaselector", "oracle-user"]
        >>> results = pd.DataFrame({"model": names, "auc": [0.7, 0.71, 0.75, 0.8]})
        >>> results["logloss"] = 1.2 - results["auc"]
        >>> [axes.get_xlabel().split()[0] for axes in comparison(results)]
        ['AUC', 'logloss']
        >>> plt.close()
    """
    return _of_run("comparison", source)


def weights(source: Any) -> Panels:
    """Distribution over test rows of the weight of each base model; a panel for each.

    Args:
        source: a model that was evaluated, a run's directory, or ``weights.parquet`` as a table.

    Example:
        >>> rows = pd.DataFrame({"base_model": ["lr", "fm"], "weight": 0.5})
        >>> rows["model"] = "metaselector"
        >>> [axes.get_title(loc="left") for axes in weights(rows)]
        ['lr', 'fm']
        >>> plt.close()
    """
    return _of_run("weights", source)


def support_curve(source: Any) -> Panels:
    """Logloss by number of support rows, and below it the effect of adapting.

    Args:
        source: a model that was evaluated, a run's directory, or
            ``support_curve_differences.csv`` as a table.

    Example:
        >>> found = pd.DataFrame({"n": [0, 5], "value": [0.6, 0.5], "baseline_value": 0.6})
        >>> found = found.assign(difference=[0, -0.1], low=[0, -0.2], high=0, metric="logloss")
        >>> found = found.assign(model="metaselector", baseline="not-adapted")
        >>> len(support_curve(found))
        2
        >>> plt.close()
    """
    return _of_run("support_curve", source)


def headroom(source: Any) -> Panels:
    """Gain of choosing a base model per user after n rows; below it, the support sizes of users.

    Args:
        source: a run that ``metaselector headroom`` or ``metaselector report`` has measured, or its
            ``headroom.csv`` as a table; without support sizes, there is one panel.

    Example:
        >>> found = pd.DataFrame({"figure": ["evidence", "evidence"], "n": [1, 5]})
        >>> found = found.assign(window="test", seed=np.nan, models="lr+fm", value=[0.01, 0.02])
        >>> [axes.get_xlabel() for axes in headroom(found.assign(low=0, high=0.03))]
        ['rows of evidence on the user']
        >>> plt.close()
    """
    return _of_run("headroom", source)


def calibration(source: Any) -> Panels:
    """Observed minus predicted share of positives; a panel for each model.

    Args:
        source: a run that ``metaselector analyse`` has analysed, or its
            ``analysis/reliability.csv`` as a table.

    Example:
        >>> bins = {"model": "lr", "bin": [0, 1], "predicted": [0.2, 0.8], "observed": 0.5}
        >>> len(calibration(pd.DataFrame(bins)))
        1
        >>> plt.close()
    """
    draw, table, columns = ANALYSIS_FIGURES["calibration"]
    if not isinstance(source, pd.DataFrame):
        path = _directory(source) / "analysis" / f"{table}.csv"
        source = read_table(path, columns, MEND).dropna(subset=list(columns))
    return _drawn(draw, source)


def weights_by_step(user: AdaptedUser, axes: Axes | None = None) -> Axes:
    """Mean weight of each base model on a user's support rows, by inner step.

    Args:
        user: an adapted user.
        axes: where to draw; by default in a new figure.
    """
    trace = user.trace
    columns = [name for name in trace if str(name).startswith("weight_")]
    names = [str(column).removeprefix("weight_") for column in columns]
    with styled(), figures_by(_new):
        if axes is None:
            axes = new_figure(1.9).add_subplot()
        for column, name, colour in zip(columns, names, model_colours(names).values(), strict=True):
            axes.plot(trace["step"], trace[column], "o-", color=colour, label=name)
        axes.set_ylim(0, 1)
        axes.set_xticks(trace["step"].tolist())
        axes.set_xlabel("inner step")
        axes.set_ylabel("mean weight on the support")
        if names:
            axes.legend()
        figure = axes.figure
        if isinstance(figure, Plot):
            finish(figure)
    return axes


def _of_run(name: str, source: Any) -> Panels:
    figure = FIGURES[name]
    table = source
    if not isinstance(source, pd.DataFrame):
        table = figure.read(_directory(source))
    return _drawn(figure.draw, table)


def _drawn(draw: Callable[[pd.DataFrame], Figure], table: pd.DataFrame) -> Panels:
    if not len(table):
        raise UserError("there is nothing to draw: the table has no rows")
    with figures_by(_new):
        return np.array(draw(table).axes, dtype=object)


def _directory(source: Any) -> Path:
    return Path(source) if isinstance(source, str | Path) else Path(source.run_directory)


def _new(**settings: Any) -> Figure:
    """A figure that pyplot, and so a notebook, knows."""
    return plt.figure(**(settings | {"dpi": _DPI}))

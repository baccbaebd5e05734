"""Figures of training: losses and learned rates."""

from __future__ import annotations

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from metaselector.report.figures.style import (
    BLACK,
    CYCLE,
    finish,
    new_figure,
    row_labels,
    short_name,
    styled,
    value,
)
from metaselector.report.groups import in_groups

_MOST_PARAMETERS = 40
_ROW = 0.15  # inches
_COLUMNS = 2
_LINEAR = 0.01
"""Rates closer to 0 than this are drawn on a linear scale."""


def learning_curves(history: pd.DataFrame) -> Figure:
    """Training and validation loss over epochs, one panel per model; dots mark the best epochs.

    Args:
        history: ``history.csv``; losses may be missing.
    """
    with styled():
        models = in_groups(history["model"])
        stages = list(dict.fromkeys(history["stage"]))
        colour = {stage: CYCLE[i % len(CYCLE)] for i, stage in enumerate(stages)}
        rows = ceil(len(models) / 2)
        figure = new_figure(0.7 + 1.15 * rows)
        panels = figure.subplots(rows, 2, squeeze=False).ravel()
        for axes, model in zip(panels, models, strict=False):
            of_model = history[history["model"] == model]
            for (stage, seed), curve in of_model.groupby(["stage", "seed"], sort=False):
                _curve(axes, curve.sort_values("epoch"), colour[stage], f"{stage}, seed {seed}")
            axes.set_title(short_name(model), fontsize=7)  # model names may be long
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
        for axes in panels[len(models) :]:
            axes.remove()
        figure.supxlabel("epoch", fontsize=7)
        figure.supylabel("logloss", fontsize=7)
        handles = [
            Line2D([], [], color=BLACK, linestyle="--", label="train"),
            Line2D([], [], color=BLACK, marker="o", markersize=3, label="valid"),
        ]
        if len(stages) > 1:
            handles += [
                Line2D([], [], color=colour[stage], label=short_name(stage)) for stage in stages
            ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
        return finish(figure)


def _curve(axes: Axes, curve: pd.DataFrame, colour: str, name: str) -> None:
    axes.plot(curve["epoch"], curve["train_loss"], "--", color=colour, linewidth=0.8)
    axes.plot(curve["epoch"], curve["valid_loss"], color=colour)
    for line in curve.itertuples():
        text = (
            f"{name}, epoch {line.epoch}: valid {line.valid_loss:.4f}, train {line.train_loss:.4f}"
        )
        value(axes, line.epoch, line.valid_loss, text)
    if curve["valid_loss"].notna().any():
        best = curve.nsmallest(1, "valid_loss")
        axes.plot(best["epoch"], best["valid_loss"], "o", color=colour, markersize=3)
    if len(curve) == 1:  # a line of one point is invisible
        axes.plot(curve["epoch"], curve["train_loss"], "x", color=colour, markersize=3)


def learned_rates(rates: pd.DataFrame) -> Figure:
    """Inner learning rates over epochs, and final rates by parameter.

    The upper panels, one per model, show group means as thick lines and parameter means as thin
    lines. The lower panel shows mean and range of every parameter in the last epoch, unless there
    are too many parameters. Everything is averaged over seeds. Rates may be negative.

    Args:
        rates: the lines of ``rates.csv`` that are rates.
    """
    with styled():
        models = in_groups(rates["model"])
        groups = list(dict.fromkeys(rates["group"]))
        colour = {group: CYCLE[i % len(CYCLE)] for i, group in enumerate(groups)}
        finals = rates[rates["epoch"] == rates.groupby(["seed", "model"])["epoch"].transform("max")]
        lines = finals[["model", "parameter"]].drop_duplicates()
        detailed = len(lines) <= _MOST_PARAMETERS
        rows = ceil(len(models) / _COLUMNS)
        above = 0.5 + 1.35 * rows
        below = 0.45 + _ROW * (len(lines) + len(models))
        heights = [above, below] if detailed else [above]
        figure = new_figure(sum(heights))
        grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
        columns = min(len(models), _COLUMNS)
        panels = grid[0].subgridspec(rows, columns).subplots(sharey=True, squeeze=False)
        for axes, model in zip(panels.ravel(), models, strict=False):
            _over_epochs(axes, rates[rates["model"] == model], colour)
            axes.set_title(short_name(model), fontsize=7)  # model names may be long
            axes.set_xlabel("epoch")
            axes.set_yscale("symlog", linthresh=_LINEAR)  # rates differ by orders of magnitude
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        for axes in panels.ravel()[len(models) :]:
            axes.remove()
        for axes in panels[:, 0]:
            axes.set_ylabel("inner rate")
        if detailed:
            _final_values(figure.add_subplot(grid[1]), finals, models, colour)
        handles = [Line2D([], [], color=colour[group], label=short_name(group)) for group in groups]
        figure.legend(handles=handles, loc="outside upper center", ncols=4)
        return finish(figure)


def _over_epochs(axes: Axes, rates: pd.DataFrame, colour: dict[str, str]) -> None:
    for group in dict.fromkeys(rates["group"]):
        frame = rates[rates["group"] == group]
        for _, single in frame.groupby("parameter"):
            mean = single.groupby("epoch")["mean"].mean()
            axes.plot(mean.index, mean, color=colour[group], linewidth=0.5, alpha=0.45)
        mean = frame.groupby("epoch")["mean"].mean()
        marker = "." if len(mean) == 1 else ""  # a line of one point is invisible
        axes.plot(mean.index, mean, color=colour[group], linewidth=1.6, marker=marker)
        for epoch, rate in mean.items():
            value(axes, epoch, rate, f"{group}, epoch {epoch}: {rate:.4g}")
    axes.axhline(0, color=BLACK, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _final_values(
    axes: Axes, finals: pd.DataFrame, models: list[str], colour: dict[str, str]
) -> None:
    labels: list[str] = []
    for model in models:
        labels.append(model)
        of_model = finals[finals["model"] == model]
        for parameter, frame in of_model.groupby("parameter", sort=False):
            position, shade = len(labels), colour[frame["group"].iloc[0]]
            ends = [frame["low"].min(), frame["high"].max()]
            axes.plot(ends, [position] * 2, color=shade, alpha=0.5)
            axes.plot(np.mean(frame["mean"]), position, "o", color=shade, markersize=3)
            text = (
                f"{model}, {parameter}: {frame['mean'].mean():.4g} [{ends[0]:.4g}, {ends[1]:.4g}]"
            )
            value(axes, frame["mean"].mean(), position, text)
            labels.append(str(parameter).removeprefix("base_models."))
    row_labels(axes, labels)
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        if label in models:
            tick.set_fontweight("bold")
    axes.axvline(0, color=BLACK, linewidth=0.6)
    axes.grid(axis="y")
    axes.set_xlabel("inner learning rate after the last epoch")
    axes.xaxis.set_major_locator(MaxNLocator(4))

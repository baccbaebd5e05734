"""Figures of results: models, users, weights."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.report.figures.style import (
    BLACK,
    BLUE,
    CYCLE,
    GROUP_COLOURS,
    finish,
    new_figure,
    row_labels,
    short_name,
    styled,
    value,
)
from metaselector.report.groups import ORACLE, group_of, in_groups

_ROW = 0.16  # inches
_BINS = 40
_METRICS = {"auc": "AUC", "logloss": "logloss"}
LineStyle = Literal["--", ":"]
_ORACLE_LINES: dict[str, LineStyle] = {"oracle-user": "--", "oracle-sample": ":"}


def comparison(results: pd.DataFrame) -> Figure:
    """AUC and logloss of models as dots, oracles as lines; bars are ± one std over seeds.

    If the sample-level oracle is far from the models, its line is drawn at the edge, with an arrow
    and its value.

    Args:
        results: ``results.csv``.
    """
    with styled():
        models = [model for model in in_groups(results["model"]) if group_of(model) != ORACLE]
        figure = new_figure(0.95 + _ROW * len(models))
        panels = figure.subplots(1, 2, sharey=True)
        for axes, metric in zip(panels, ("auc", "logloss"), strict=True):
            _dots(axes, results.groupby("model")[metric].agg(["mean", "std"]), models, metric)
        panels[0].set_xlabel("AUC\n(higher is better)")
        panels[1].set_xlabel("logloss\n(lower is better)")
        row_labels(panels[0], models)
        panels[1].tick_params(axis="y", length=0)
        present = [name for name in _ORACLE_LINES if name in set(results["model"])]
        if present:
            handles = [
                Line2D([], [], color=BLACK, linestyle=_ORACLE_LINES[name], linewidth=0.9)
                for name in present
            ]
            figure.legend(handles, present, loc="outside upper right", ncols=2)
        return finish(figure)


def _dots(axes: Axes, values: pd.DataFrame, models: list[str], metric: str) -> None:
    means, stds = (values.loc[models, name].to_numpy(np.float64) for name in ("mean", "std"))
    stds = np.nan_to_num(stds)  # nan with one seed
    for position, (model, mean, std) in enumerate(zip(models, means, stds, strict=True)):
        axes.errorbar(
            mean,
            position,
            xerr=std or None,
            fmt="o",
            markersize=3.5,
            color=GROUP_COLOURS[group_of(model)],
            elinewidth=1,
        )
        spread = f" ± {std:.4f}" if std else ""
        value(axes, mean, position, f"{model}: {_METRICS[metric]} {mean:.4f}{spread}")
    ends = np.concatenate([means - stds, means + stds])
    ends = ends[np.isfinite(ends)]  # a metric may be undefined
    low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 1.0)
    lines = values["mean"].to_dict()
    for name, style in _ORACLE_LINES.items():  # the nearer one first
        if name not in lines:
            continue
        bound = float(lines[name])
        if not np.isfinite(bound):
            continue
        if name == "oracle-user" or low - (high - low) / 2 <= bound <= high + (high - low) / 2:
            low, high = min(low, bound), max(high, bound)
            axes.axvline(bound, color=BLACK, linestyle=style, linewidth=0.9)
            value(axes, bound, -0.5, f"{name}: {_METRICS[metric]} {bound:.4f}")
        else:
            _far_line(axes, bound, style, beyond=bound > high)
    margin = 0.08 * max(high - low, 1e-4)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(2))
    axes.spines["left"].set_visible(False)  # it would hide a line at the edge
    axes.grid(axis="y")


def _far_line(axes: Axes, value: float, style: LineStyle, *, beyond: bool) -> None:
    """A line at the right or left edge, with an arrow and its value above."""
    edge = 1.0 if beyond else 0.0
    inside = axes.transAxes
    axes.plot(
        [edge, edge], [0, 1], style, color=BLACK, linewidth=0.9, clip_on=False, transform=inside
    )
    axes.annotate(
        f"{value:.3f} →" if beyond else f"← {value:.3f}",
        (edge, 1),
        xycoords="axes fraction",
        xytext=(0, 2),
        textcoords="offset points",
        ha="right" if beyond else "left",
    )


def heterogeneity(best_counts: pd.DataFrame) -> Figure:
    """Number of users for whom each base model is best; bars are means over seeds, dots seeds.

    Args:
        best_counts: ``best_counts.csv``.
    """
    with styled():
        models = list(dict.fromkeys(best_counts["model"]))
        by_model = best_counts.groupby("model")
        shares, users = by_model["share"].mean() * 100, by_model["users"].mean()
        figure = new_figure(0.55 + 0.24 * len(models))
        axes = figure.subplots()
        axes.barh(range(len(models)), shares[models], height=0.65, color=BLUE)
        right = shares.copy()
        if best_counts["seed"].nunique() > 1:
            for position, model in enumerate(models):
                seeds = best_counts.loc[best_counts["model"] == model, "share"] * 100
                axes.plot(seeds, [position] * len(seeds), ".", color=BLACK, markersize=3)
                right[model] = seeds.max()
        for position, model in enumerate(models):
            text = f"{users[model]:.0f} users"
            value(axes, shares[model] / 2, position, f"{model}: {text}, {shares[model]:.1f} %")
            axes.annotate(
                text,
                (right[model], position),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        # Leave room for the text beside the longest bar.
        axes.set_xlim(0, max(right.max() * 1.3, 1))
        axes.set_xlabel("users for whom the base model is best on test (%)")
        row_labels(axes, models)
        return finish(figure)


def weights(weights: pd.DataFrame) -> Figure:
    """Distribution over rows of the weight of each base model; triangles are means.

    Args:
        weights: ``weights.parquet``.
    """
    with styled():
        base_models = list(dict.fromkeys(weights["base_model"]))
        models = in_groups(weights["model"])
        figure = new_figure(0.75 + 0.62 * len(base_models))
        panels = figure.subplots(len(base_models), 1, sharex=True, sharey=True, squeeze=False)
        edges, highest = np.linspace(0, 1, _BINS + 1), 1.0
        for axes, base_model in zip(panels[:, 0], base_models, strict=True):
            for model, colour in zip(models, _colours(models), strict=True):
                mine = (weights["base_model"] == base_model) & (weights["model"] == model)
                values = weights.loc[mine, "weight"].to_numpy(np.float64)
                if not len(values):
                    continue
                share = np.histogram(values, edges)[0] / len(values) * 100
                highest = max(highest, share.max())
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.2, linewidth=0)
                axes.stairs(share, edges, color=colour, linewidth=1, label=short_name(model))
                axes.plot(
                    values.mean(),
                    1,
                    marker="v",
                    color=colour,
                    clip_on=False,
                    markersize=5,
                    transform=axes.get_xaxis_transform(),
                )
                text = f"{model}: mean weight {values.mean():.3f} of {base_model}"
                value(axes, values.mean(), 0, text)
            axes.set_title(short_name(base_model))
        panels[-1, 0].set_xlim(0, 1)
        panels[-1, 0].set_ylim(0, 1.25 * highest)  # the triangles need room
        panels[-1, 0].set_xlabel("weight of the base model")
        figure.supylabel("test rows (%)", fontsize=7)
        handles = [Line2D([], [], color=colour) for colour in _colours(models)]
        figure.legend(handles, [*map(short_name, models)], loc="outside upper center", ncols=2)
        return finish(figure)


def _colours(models: list[str]) -> list[str]:
    return [CYCLE[i % len(CYCLE)] for i in range(len(models))]

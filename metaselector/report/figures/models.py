"""Figures of models: calibration, inner steps, training cost."""

from __future__ import annotations

from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.report.figures.style import (
    BLACK,
    GROUP_COLOURS,
    finish,
    model_colours,
    new_figure,
    short_name,
    styled,
)
from metaselector.report.groups import ORACLE, group_of, in_groups


def calibration(reliability: pd.DataFrame) -> Figure:
    """Observed minus predicted share of positives, one panel per model.

    Oracles are left out, because they have seen the labels.

    Args:
        reliability: ``analysis/reliability.csv``; bins are averaged over seeds.
    """
    with styled():
        models = [m for m in in_groups(reliability["model"]) if group_of(m) != ORACLE]
        rows = ceil(len(models) / 2)
        figure = new_figure(0.75 + 0.72 * rows)
        panels = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, model in zip(panels, models, strict=False):
            of_model = reliability[reliability["model"] == model]
            curve = of_model.groupby("bin")[["predicted", "observed"]].mean() * 100
            off = curve["observed"] - curve["predicted"]
            colour = GROUP_COLOURS[group_of(model)]
            axes.axhline(0, color=BLACK, linewidth=0.6)
            axes.plot(curve["predicted"], off, ".-", color=colour)
            axes.set_title(short_name(model), fontsize=7, pad=2)
            axes.set_xlim(0, 100)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(MaxNLocator(3))
        for axes in panels[len(models) :]:
            axes.remove()
            panels[len(models) - 2].tick_params(axis="x", labelbottom=True)
        figure.suptitle("Calibration on test (0: calibrated)", fontsize=7.5, x=0.01, ha="left")
        figure.supxlabel("predicted share of positives (%)", fontsize=7)
        figure.supylabel("observed minus predicted (percentage points)", fontsize=7)
        return finish(figure)


def inner_steps(steps: pd.DataFrame) -> Figure:
    """Logloss and AUC on *test* against inner steps at prediction; rings mark the training value.

    Args:
        steps: ``analysis/steps.csv``; thick lines are means over seeds, thin ones are seeds.
    """
    with styled():
        colours = model_colours(in_groups(steps["model"]))
        figure = new_figure(3.1)
        panels = figure.subplots(2, 1, sharex=True)
        for axes, (metric, title) in zip(
            panels,
            (("logloss", "logloss\n(lower is better)"), ("auc", "AUC\n(higher is better)")),
            strict=True,
        ):
            for model, colour in colours.items():
                _metric_by_steps(axes, steps[steps["model"] == model], metric, colour)
            axes.set_ylabel(title)
            axes.yaxis.set_major_locator(MaxNLocator(4))
        panels[1].set_xticks(sorted(steps["steps"].unique()))
        panels[1].set_xlabel("inner steps on the user's support when predicting test")
        panels[0].set_title("Other numbers of inner steps than in training")
        handles = [
            Line2D([], [], color=colour, label=short_name(m)) for m, colour in colours.items()
        ]
        handles.append(
            Line2D(
                [],
                [],
                color=BLACK,
                linestyle="",
                marker="o",
                markersize=7,
                fillstyle="none",
                label="steps in training",
            )
        )
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
        return finish(figure)


def _metric_by_steps(axes: Axes, steps: pd.DataFrame, metric: str, colour: str) -> None:
    if steps["seed"].nunique() > 1:
        for _, of_seed in steps.groupby("seed"):
            axes.plot(of_seed["steps"], of_seed[metric], color=colour, linewidth=0.5, alpha=0.5)
    mean = steps.groupby("steps")[metric].mean()
    axes.plot(mean.index, mean, ".-", color=colour)
    trained = steps["trained_steps"].iloc[0]
    axes.plot(
        trained, mean[trained], "o", color=colour, fillstyle="none", markersize=7, clip_on=False
    )


def cost(curves: pd.DataFrame) -> Figure:
    """Loss on *valid* against seconds of meta-training: dots are epochs, lines the best so far.

    Args:
        curves: ``analysis/cost_curves.csv``; a line a seed.
    """
    with styled():
        colours = model_colours(in_groups(curves["model"]))
        figure = new_figure(2.2)
        axes = figure.subplots()
        for model, colour in colours.items():
            of_model = curves[curves["model"] == model]
            for _, curve in of_model.groupby("seed"):
                time = curve["seconds"]
                axes.step(time, curve["best_so_far"], where="post", color=colour, linewidth=0.9)
                axes.plot(time, curve["valid_loss"], ".", color=colour)
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("wall-clock time of meta-training (s)")
        axes.set_ylabel("logloss on valid")
        axes.set_title("Loss reached after a time (line: best so far)")
        handles = [
            Line2D([], [], color=colour, label=short_name(m)) for m, colour in colours.items()
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
        return finish(figure)

"""Figures of users: best base models, selector weights, and where combinations help."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from metaselector.report.figures.style import (
    BLACK,
    CYCLE,
    GRID,
    finish,
    model_colours,
    new_figure,
    row_labels,
    short_name,
    styled,
)
from metaselector.report.groups import in_groups

_BINS = 40
FACT_TITLES = {
    "history_rows": "Rows of the user before the test window",
    "rows_per_active_day": "Rows of the user per active day",
    "drift": "Change in share of positives, train to valid",
    "item_train_rows": "Rows of the item in train",
}


def confusion(confusion: pd.DataFrame) -> Figure:
    """Share of users by best base model on *valid* and on *test*, averaged over seeds.

    Args:
        confusion: ``analysis/confusion.csv``; one panel per training window of the *test* models.
    """
    with styled():
        models = list(dict.fromkeys(confusion["valid_best"]))
        kinds = list(dict.fromkeys(confusion["fitted_on"]))
        side = 0.3 + 0.26 * len(models)
        figure = new_figure(0.45 + (0.75 + side) * len(kinds))
        panels = figure.subplots(len(kinds), 1, squeeze=False)[:, 0]
        for axes, fitted_on in zip(panels, kinds, strict=True):
            counts = confusion[confusion["fitted_on"] == fitted_on].pivot_table(
                index="valid_best", columns="test_best", values="users", aggfunc="mean"
            )
            shares = counts.loc[models, models].to_numpy(np.float64)
            _cells(axes, 100 * shares / shares.sum())
            names = [*map(short_name, models)]
            axes.set_xticks(range(len(models)), names)
            axes.set_yticks(range(len(models)), names)
            if sum(map(len, names)) > 30:  # they would touch
                axes.tick_params(axis="x", labelrotation=90)
            axes.set_ylabel("best on valid\n(fitted on train)")
            axes.set_xlabel(f"best on test\n(fitted on {short_name(fitted_on)})")
        panels[0].set_title("Users by best base model (%)")
        return finish(figure)


def _cells(axes: Axes, shares: np.ndarray) -> None:
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4 * shares.max(), aspect="auto")
    for position, share in np.ndenumerate(shares):
        axes.annotate(f"{share:.0f}", position[::-1], ha="center", va="center")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def stability(correlation: pd.DataFrame) -> Figure:
    """Rank correlation over users between base models' advantages on *valid* and *test*.

    Args:
        correlation: ``analysis/correlation.csv``; bars are means over seeds, dots are seeds.
    """
    with styled():
        models = list(dict.fromkeys(correlation["model"]))
        kinds = list(dict.fromkeys(correlation["fitted_on"]))
        figure = new_figure(1.1 + 0.3 * len(models))
        axes = figure.subplots()
        height = 0.75 / len(kinds)
        for i, kind in enumerate(kinds):
            of_kind = correlation[correlation["fitted_on"] == kind]
            position = np.arange(len(models)) + (i - (len(kinds) - 1) / 2) * height
            means = of_kind.groupby("model")["spearman"].mean()[models]
            axes.barh(position, means, 0.9 * height, color=CYCLE[i], label=short_name(kind))
            if correlation["seed"].nunique() > 1:
                for at, model in zip(position, models, strict=True):
                    dots = of_kind.loc[of_kind["model"] == model, "spearman"]
                    axes.plot(dots, [at] * len(dots), ".", color=BLACK, markersize=3)
        axes.axvline(0, color=BLACK, linewidth=0.6)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("rank correlation of valid and test\n(over users; 1: same order)")
        axes.set_title("Stability of the base models' advantages")
        row_labels(axes, models)
        figure.legend(title="test models fitted on", loc="outside upper center", ncols=2)
        return finish(figure)


def entropy(entropy: pd.DataFrame) -> Figure:
    """Distribution over users of the weights' normalised entropy; triangles are means.

    Args:
        entropy: ``analysis/entropy.csv``; seeds are pooled.
    """
    with styled():
        colours = model_colours(in_groups(entropy["model"]))
        figure = new_figure(1.75 + 0.14 * len(colours))
        axes = figure.subplots()
        edges = np.linspace(0, 1, _BINS + 1)
        for model, colour in colours.items():
            values = entropy.loc[entropy["model"] == model, "entropy"].to_numpy(np.float64)
            share = np.histogram(values.clip(0, 1), edges)[0] / len(values) * 100
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.2, linewidth=0)
            axes.stairs(share, edges, color=colour, linewidth=1, label=short_name(model))
            across = axes.get_xaxis_transform()
            axes.plot(values.mean(), 0.97, "v", color=colour, markersize=5, transform=across)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # the triangles need room
        axes.set_xlabel("normalised entropy of the user's weights\n(0: one model, 1: equal)")
        axes.set_ylabel("users (%)")
        axes.set_title("How evenly selectors weigh the base models")
        figure.legend(loc="outside upper center", ncols=2)
        return finish(figure)


def breakdown(breakdown: pd.DataFrame) -> Figure:
    """Improvement over the best single model by bins of every fact, with 95 % intervals.

    Args:
        breakdown: ``analysis/breakdown.csv``.
    """
    with styled():
        colours = model_colours(in_groups(breakdown["model"]))
        facts = list(dict.fromkeys(breakdown["fact"]))
        figure = new_figure(0.6 + 1.3 * len(facts))
        panels = figure.subplots(len(facts), 1, sharey=True, squeeze=False)[:, 0]
        for axes, fact in zip(panels, facts, strict=True):
            _fact(axes, breakdown[breakdown["fact"] == fact], colours)
            axes.set_title(FACT_TITLES.get(fact, short_name(fact)))
        figure.supylabel("logloss saved over the best single model (nats)", fontsize=7)
        handles = [
            Line2D([], [], color=colour, marker="o", markersize=3) for colour in colours.values()
        ]
        figure.legend(handles, [*map(short_name, colours)], loc="outside upper center", ncols=2)
        return finish(figure)


def _fact(axes: Axes, bins: pd.DataFrame, colours: dict[str, str]) -> None:
    spans = bins.drop_duplicates("bin")
    labels = [_span(low, high) for low, high in zip(spans["from"], spans["to"], strict=True)]
    for i, (model, colour) in enumerate(colours.items()):
        mine = bins[bins["model"] == model]
        mean = mine["improvement"].to_numpy(np.float64)
        ends = mine[["low", "high"]].to_numpy(np.float64)
        error = np.nan_to_num(np.abs(ends - mean[:, None])).T  # [2, bins]; one user has none
        axes.errorbar(
            mine["bin"] + 0.16 * (i - (len(colours) - 1) / 2),
            mean,
            yerr=error,
            fmt="o",
            markersize=3,
            color=colour,
            elinewidth=0.9,
        )
    axes.axhline(0, color=BLACK, linewidth=0.6)
    axes.set_xticks(spans["bin"], labels)
    axes.set_xlim(-0.5, spans["bin"].max() + 0.5)
    axes.tick_params(axis="x", length=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", color=GRID)


def _span(low: float, high: float) -> str:
    """Both ends of a bin, short enough for five labels."""
    digits = 0 if high >= 100 or (low == int(low) and high == int(high)) else 2 if high <= 1 else 1
    ends = [f"{end:.{digits}f}" for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else "–".join(ends)

"""Figure of headroom: what choosing a base model per user can win, by rows of evidence."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaselector.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    finish,
    new_figure,
    styled,
    value,
)

_SIZE = "support-size-"
_NUMBERS = ["value", "low", "high"]
_FAR = 2.0
"""A level of chance above this many times everything else would flatten the curve."""


def headroom(table: pd.DataFrame) -> Figure:
    """Gain of choosing after n rows of evidence, and the support sizes that users have.

    Shows *test*, or the first window if there is no *test*, and means over seeds. Shaded are 95 %
    intervals; for chance, the middle 95 % of the permutations. Without evidence there is no gain.
    The strip below shows the median of users' support sizes (dot), their middle half (box) and
    their middle 80 % (line); lines lead up from the quartiles.

    Args:
        table: ``headroom.csv``.
    """
    window = "test" if "test" in set(table["window"]) else table["window"].iloc[0]
    of_window = table[table["window"] == window]
    of_users = of_window["figure"].str.startswith(_SIZE)
    sizes = _sizes(of_window[of_users])
    lines = _main(of_window[~of_users])
    curve, perfect, chance = (
        lines[lines["figure"] == name] for name in ("evidence", "perfect-knowledge", "chance")
    )
    with styled():
        figure = new_figure(3.0 if sizes else 2.6)
        axes, bottom = _panels(figure, bool(sizes))
        _curve(axes, curve)
        top = pd.concat([curve, perfect])[_NUMBERS].max().max()
        _level(axes, perfect, "--", BLACK, "perfect knowledge")
        _level(axes, chance, ":", ORANGE, "oracle by chance", _FAR * top)
        if sizes:
            _users(axes, bottom, sizes)
        axes.set_ylabel("gain in logloss on the\nbest single model, 95 % interval")
        axes.grid(axis="y")
        bottom.set_xlabel("rows of evidence on the user")
        _scale(bottom, curve["n"].astype(int).tolist(), max(sizes.values(), default=0))
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        return finish(figure)


def _sizes(lines: pd.DataFrame) -> dict[int, float]:
    """Support sizes by quantile in percent; empty for predictions of other systems."""
    percent = lines["figure"].str.removeprefix(_SIZE).str.removesuffix("%").astype(int)
    return dict(zip(percent, lines["value"].astype(float), strict=True))


def _main(lines: pd.DataFrame) -> pd.DataFrame:
    """The lines on all models together: means over seeds, or those of the only seed."""
    lines = lines[lines["models"] == lines["models"].iloc[0]]
    means = lines["seed"].isna()
    return lines[means] if means.any() else lines


def _panels(figure: Figure, users: bool) -> tuple[Axes, Axes]:
    """The panel of gains, and the one with the horizontal axis."""
    if users:
        axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(9, 1))
        axes.tick_params(axis="x", length=0)
        return axes, strip
    axes = figure.subplots()
    return axes, axes


def _curve(axes: Axes, curve: pd.DataFrame) -> None:
    rows = curve["n"].astype(int).tolist()
    measured = curve[_NUMBERS].to_numpy(np.float64)  # [N, 3]
    n = [0, *rows]
    values, low, high = ([0.0, *of] for of in measured.T)
    axes.axhline(0, color=BLACK, linewidth=0.6)
    axes.fill_between(n, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(n, values, "o-", color=BLUE, markersize=3, clip_on=False, label="choice after n rows")
    for count, numbers in zip(rows, measured, strict=True):
        name = f"{count} {'row' if count == 1 else 'rows'} of evidence"
        value(axes, count, numbers[0], f"{name}: {_in_words(*numbers)}")


def _level(
    axes: Axes,
    lines: pd.DataFrame,
    style: str,
    colour: str,
    label: str,
    highest: float = math.inf,
) -> None:
    """A line across the panel with its band; only named if it is above `highest`."""
    for level, low, high in lines[_NUMBERS].to_numpy(np.float64):
        if level > highest:
            axes.plot([], [], style, color=colour, label=f"{label}: {level:.4f} ↑")
            continue
        axes.axhspan(low, high, color=colour, alpha=0.12, linewidth=0)
        axes.axhline(level, linestyle=style, color=colour, label=label)
        value(axes, 0, level, f"{label}: {_in_words(level, low, high)}")


def _in_words(level: float, low: float, high: float) -> str:
    interval = "" if np.isnan(low) else f" [{low:+.4f}, {high:+.4f}]"
    return f"{level:+.4f}{interval}"


def _users(axes: Axes, strip: Axes, sizes: dict[int, float]) -> None:
    for low, high, width in ((10, 90, 1.0), (25, 75, 5.0)):
        ends = [sizes[low], sizes[high]]
        strip.plot(ends, [0, 0], color=GREEN, linewidth=width, solid_capstyle="butt")
    strip.plot(sizes[50], 0, "o", color=BLACK, markersize=3)
    for percent, size in sizes.items():
        rows = "row" if size == 1 else "rows"
        value(strip, size, 0, f"{percent} % of users have at most {size:.0f} support {rows}")
    quartiles = sorted({sizes[percent] for percent in (25, 50, 75)})
    for size in quartiles:
        label = "quartiles of users" if size == quartiles[0] else None
        axes.axvline(size, color=GREEN, linewidth=0.8, linestyle="-.", zorder=1.5, label=label)
    strip.set_yticks([0], ["support rows\nof users"])
    strip.set_ylim(-1, 1)
    strip.tick_params(axis="y", length=0)
    strip.spines["left"].set_visible(False)


def _scale(axes: Axes, rows: list[int], most: float) -> None:
    """Logarithmic from 1 on, so that users without support rows have a place too."""
    ticks = [0, *rows]
    while ticks[-1] < most:
        ticks.append(2 * ticks[-1])
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(0, ticks[-1])

"""Style of all figures: one paper column wide, readable in print and with colour blindness."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from metaselector.common.files import atomic_file
from metaselector.common.text import printable, shortened
from metaselector.report.groups import COMBINATION, METASELECTOR, ORACLE, SINGLE

WIDTH = 3.35
"""Inches."""
DPI = 300

# Okabe and Ito, "Color Universal Design", 2008.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = PALETTE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
GROUP_COLOURS = {SINGLE: BLUE, COMBINATION: GREEN, METASELECTOR: VERMILION, ORACLE: BLACK}
MODEL_COLOURS = {"metaselector-simplified": VERMILION, "metaselector": GREEN}
"""Colours of single models, instead of their group's."""
GRID = "#D9D9D9"
_LONGEST_NAME = 40
"""Characters; some built-in models have names this long."""

_SETTINGS: dict[Any, Any] = {
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "patch.linewidth": 0.6,
    "text.parse_math": False,  # a name may hold a $
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply our matplotlib settings in a context, ignoring the user's; restores them afterwards.

    Warnings about missing glyphs and about lack of space are silenced, since names come from data.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from")
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        matplotlib.rcdefaults()
        for name, value in _SETTINGS.items():
            matplotlib.rcParams[name] = value
        yield


class Value(NamedTuple):
    """A value that readers of the page can point at.

    Attributes:
        axes: where it is drawn.
        x, y: data coordinates.
        text: the value in words.
    """

    axes: Axes
    x: float
    y: float
    text: str


class Plot(Figure):
    """A figure that knows the values it shows, for the page; a PNG shows none of them."""

    values: list[Value]


def new_figure(height: float) -> Plot:
    """An empty figure, one column wide; `height` in inches."""
    figure = _MAKER.get()(figsize=(WIDTH, height), dpi=DPI, layout="constrained", FigureClass=Plot)
    assert isinstance(figure, Plot)
    figure.values = []
    return figure


def _alone(FigureClass: type[Figure], **settings: Any) -> Figure:
    """A figure that only its caller knows."""
    figure = FigureClass(**settings)
    FigureCanvasAgg(figure)
    return figure


_MAKER: ContextVar[Callable[..., Figure]] = ContextVar("figure maker", default=_alone)


@contextmanager
def figures_by(make: Callable[..., Figure]) -> Iterator[None]:
    """Let :func:`new_figure` call `make`, such as :func:`matplotlib.pyplot.figure`."""
    token = _MAKER.set(make)
    try:
        yield
    finally:
        _MAKER.reset(token)


def value(axes: Axes, x: Any, y: Any, text: str) -> None:
    """Note a value of a :func:`new_figure`; `x` and `y` are numbers in data coordinates."""
    figure = axes.figure
    assert isinstance(figure, Plot)
    figure.values.append(Value(axes, float(x), float(y), text))


def short_name(name: object) -> str:
    """A name from data or settings, printable and short enough for a figure."""
    return shortened(printable(str(name)), _LONGEST_NAME)


_Drawn = TypeVar("_Drawn", bound=Figure)


def finish(figure: _Drawn) -> _Drawn:
    """Draw the figure while :func:`styled` applies, not later when it is saved."""
    figure.draw_without_rendering()
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a PNG atomically; equal figures give equal bytes."""
    with styled(), atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def model_colours(models: Iterable[str]) -> dict[str, str]:
    """A colour for each model, from :data:`MODEL_COLOURS` or else in turn."""
    others = cycle(colour for colour in CYCLE if colour not in MODEL_COLOURS.values())
    return {model: MODEL_COLOURS.get(model) or next(others) for model in models}


def row_labels(axes: Axes, labels: list[str]) -> None:
    """Label horizontal rows 0, 1, ... from top to bottom."""
    axes.set_yticks(range(len(labels)), [short_name(label) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)

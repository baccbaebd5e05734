"""Figures as data URLs, with the values that readers can point at."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from metaselector.report.figures.run import FIGURES
from metaselector.report.figures.style import Plot, styled

_CAPTIONS = {
    "differences": "Joint MetaSelector minus each row, with 95 % intervals over users; filled dots "
    "are significant after Holm's correction.",
    "comparison": "AUC and logloss of every model; lines mark oracles.",
    "support_sizes": "AUC and logloss of every model by support size.",
    "support_curve": "Logloss by number of support rows, and its difference to not adapting.",
    "heterogeneity": "Number of users for whom each base model is best on test.",
    "headroom": "What choosing one base model per user can win on test, by rows of evidence on the "
    "user: read the curve where your users' support sizes lie (dot: median, box: middle half, "
    "line: middle 80 %), and compare it with perfect knowledge, the most that choosing can win.",
    "weights": "Distribution of the selectors' weights on base models; triangles mark means.",
    "learning_curves": "Training and validation loss by epoch; dots mark the best epochs.",
    "learned_rates": "Inner learning rates by epoch, and final rates of every parameter.",
    "learned_numbers": "Weights of support rows and the correction by residuals, by epoch; "
    "shaded: the range over inner steps or similarities.",
}
TRAINING = ("learning_curves", "learned_rates", "learned_numbers")
CURVE = "support_curve"
DIFFERENCES = "differences"
_POINTS = 72  # per inch, the unit of SVG


class Picture(NamedTuple):
    """A figure on the page.

    Attributes:
        name: name of the figure.
        caption: what the figure shows.
        address: a ``data:`` URL.
        width, height: size in points.
        marks: where values are, in points from the left and from the top, and each in words.
    """

    name: str
    caption: str
    address: str
    width: float = 0.0
    height: float = 0.0
    marks: tuple[tuple[float, float, str], ...] = ()


def pictures_of(folder: Path) -> list[Picture]:
    """The figures of a folder, redrawn as SVG; without the data, the saved PNG.

    Raises:
        DataError: a figure's file is damaged.
    """
    found = []
    for name, source in FIGURES.items():
        drawn = folder / "figures" / f"{name}.png"
        if (folder / source.file).exists():
            frame = source.read(folder)
            if not frame.empty:
                figure = source.draw(frame)
                address = _address("svg+xml", svg(figure))
                width, height = (inches * _POINTS for inches in figure.get_size_inches())
                marks = _marks(figure, width, height)
                found.append(Picture(name, _CAPTIONS[name], address, width, height, marks))
        elif drawn.exists():
            found.append(Picture(name, _CAPTIONS[name], _address("png", drawn.read_bytes())))
    return found


def svg(figure: Figure) -> bytes:
    """Render as SVG with text as outlines, which needs no font; equal figures give equal bytes."""
    written = io.BytesIO()
    with styled():
        matplotlib.rcParams["svg.hashsalt"] = "metaselector"
        nothing = {"Date": None, "Creator": None}
        figure.savefig(written, format="svg", metadata=nothing, transparent=True)
    return written.getvalue()


def _marks(figure: Figure, width: float, height: float) -> tuple[tuple[float, float, str], ...]:
    """Where the values of a drawn figure are, without those outside of its axes."""
    found = []
    for axes, x, y, text in figure.values if isinstance(figure, Plot) else ():
        place = axes.transData.transform((x, y))
        across, up = figure.transFigure.inverted().transform(place)
        inside = axes.bbox.padded(1).contains(*place)  # false for nan
        if inside:
            found.append((round(across * width, 1), round((1 - up) * height, 1), text))
    return tuple(found)


def _address(kind: str, picture: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"

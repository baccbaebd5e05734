"""Figures as data URLs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from metaselector.report.figures.run import FIGURES
from metaselector.report.figures.style import styled

_CAPTIONS = {
    "comparison": "AUC and logloss of every model; lines mark oracles.",
    "support_sizes": "AUC and logloss of every model by support size.",
    "support_curve": "Logloss by number of support rows, and its difference to not adapting.",
    "heterogeneity": "Number of users for whom each base model is best on test.",
    "weights": "Distribution of the selectors' weights on base models; triangles mark means.",
    "learning_curves": "Training and validation loss by epoch; dots mark the best epochs.",
    "learned_rates": "Inner learning rates by epoch, and final rates of every parameter.",
    "learned_numbers": "Weights of support rows and the correction by residuals, by epoch; "
    "shaded: the range over inner steps or similarities.",
}
TRAINING = ("learning_curves", "learned_rates", "learned_numbers")
CURVE = "support_curve"


class Picture(NamedTuple):
    """A figure on the page.

    Attributes:
        name: name of the figure.
        caption: what the figure shows.
        address: a ``data:`` URL.
    """

    name: str
    caption: str
    address: str


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
                address = _address("svg+xml", svg(source.draw(frame)))
                found.append(Picture(name, _CAPTIONS[name], address))
        elif drawn.exists():
            found.append(Picture(name, _CAPTIONS[name], _address("png", drawn.read_bytes())))
    return found


def svg(figure: Figure) -> bytes:
    """Render as SVG with text as outlines, which needs no font; equal figures give equal bytes."""
    written = io.BytesIO()
    with styled():
        matplotlib.rcParams["svg.hashsalt"] = "metaselector"
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


def _address(kind: str, picture: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"

"""Figures as addresses that hold the picture itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from metaselector.report.figures.run import FIGURES
from metaselector.report.figures.style import styled
from metaselector.report.inputs import read_table

_CAPTIONS = {
    "comparison": "AUC and logloss of every model; lines are oracles.",
    "support_sizes": "AUC and logloss of every model by support size.",
    "heterogeneity": "For how many users each base model is best on test.",
    "weights": "How selectors spread their weight over base models; triangles are means.",
    "learning_curves": "Loss by epoch of everything that was trained; dots are the best epochs.",
    "learned_rates": "Inner learning rates by epoch, and what was learned for every parameter.",
}
TRAINING = ("learning_curves", "learned_rates")


class Picture(NamedTuple):
    """Attributes:

    name: of the figure.
    caption: what it shows.
    address: a ``data:`` address.
    """

    name: str
    caption: str
    address: str


def pictures_of(folder: Path) -> list[Picture]:
    """The figures of a folder, drawn anew as SVG; where only a PNG is left, that one.

    Raises:
        DataError: a file that a figure shows is damaged.
    """
    found = []
    for name, (draw, file, columns) in FIGURES.items():
        drawn = folder / "figures" / f"{name}.png"
        if (folder / file).exists():
            frame = read_table(folder / file, columns)
            if not frame.empty:
                found.append(Picture(name, _CAPTIONS[name], _address("svg+xml", svg(draw(frame)))))
        elif drawn.exists():
            found.append(Picture(name, _CAPTIONS[name], _address("png", drawn.read_bytes())))
    return found


def svg(figure: Figure) -> bytes:
    """Letters are outlines, for the reader may not have the font; equal figures, equal bytes."""
    written = io.BytesIO()
    with styled():
        matplotlib.rcParams["svg.hashsalt"] = "metaselector"
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return written.getvalue()


def _address(kind: str, picture: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"

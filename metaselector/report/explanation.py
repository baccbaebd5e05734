"""Explain the adaptation to one user as text, table and figure."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metaselector.common.files import write_text
from metaselector.common.text import printable
from metaselector.report.figures.style import (
    BLACK,
    BLUE,
    GRID,
    VERMILION,
    finish,
    new_figure,
    row_labels,
    save,
    short_name,
    styled,
)

SHOWN = 10
"""Most support rows in text and figure; the most influential ones."""
_NEUTRAL = "#999999"
_READABLE = 100
"""Most characters of a user's name in a file name."""
_PLAIN = re.compile(rf"[a-z0-9_-][a-z0-9_.-]{{0,{_READABLE - 1}}}")


def write_explanation(
    folder: Path, user: str, weights: pd.DataFrame, rows: pd.DataFrame
) -> list[Path]:
    """Write all support rows as CSV, and a figure; returns both paths (see :func:`file_stem`)."""
    name = file_stem(user)
    table, figure = folder / f"{name}.csv", folder / f"{name}.png"
    write_text(table, rows.to_csv(index=False))
    save(explanation(user, weights, rows), figure)
    return [table, figure]


def file_stem(user: str) -> str:
    """``user-<user>``, a file name that is valid and unique on every file system.

    In a name that a file system might reject or confuse with another (some ignore case), special
    characters become ``_``, and ``~`` with a digest of the name is appended.
    """
    if _PLAIN.fullmatch(user):
        return f"user-{user}"
    digest = hashlib.sha256(user.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"user-{re.sub('[^A-Za-z0-9_.-]', '_', user[:_READABLE])}~{digest}"


def described(user: str, weights: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Text for a terminal, from the attributes of an
    :class:`~metaselector.inference.explanation.Explanation`."""
    width = max([len("base model"), *map(len, weights["base_model"])])
    lines = [f"user {printable(user)}: mean weights on the test window", ""]
    lines.append(f"{'base model':<{width}}  before   after  change")
    for name, before, after in weights.itertuples(index=False):
        lines.append(f"{name:<{width}}  {before:6.3f}  {after:6.3f}  {after - before:+6.3f}")
    lines.append("")
    if rows.empty:
        return "\n".join([*lines, "no support rows to adapt on"])
    shown = most_influential(rows)
    lines.append(f"{len(shown)} of {len(rows)} support rows, most influential first")
    labels = list(zip(_labels(shown), _toward(shown), shown["influence"], strict=True))
    width = max(len(label) for label, _, _ in labels)
    lines += [f"{label:<{width}}  {share:.4f} towards {to}" for label, to, share in labels]
    return "\n".join(lines)


def most_influential(rows: pd.DataFrame) -> pd.DataFrame:
    """The most influential support rows, in descending order; later rows first among equals."""
    return rows[::-1].sort_values("influence", ascending=False, kind="stable")[:SHOWN]


def explanation(user: str, weights: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    """Weights before and after adaptation, and the most influential support rows."""
    with styled():
        shown = most_influential(rows)
        heights = [0.35 + 0.3 * len(weights), 0.45 + 0.2 * max(len(shown), 1)]
        figure = new_figure(0.75 + sum(heights))
        upper, lower = figure.subplots(2, 1, height_ratios=heights)
        at = np.arange(len(weights))
        upper.barh(at - 0.19, weights["before"], 0.36, color=_NEUTRAL, label="before adapting")
        upper.barh(at + 0.19, weights["after"], 0.36, color=BLUE, label="after")
        upper.set_title(f"User {short_name(user[:20])}: mean weights on test")
        upper.set_xlim(0, 1)
        upper.grid(axis="x", color=GRID)
        row_labels(upper, list(weights["base_model"]))
        figure.legend(loc="outside upper center", ncols=2)
        _rows(lower, shown)
        return finish(figure)


def _rows(axes: Axes, shown: pd.DataFrame) -> None:
    axes.set_title("Influence of each support row on the weights")
    axes.barh(np.arange(len(shown)), 100 * shown["influence"], 0.7, color=VERMILION)
    for at, (to, share) in enumerate(zip(_toward(shown), shown["influence"], strict=True)):
        axes.annotate(f" to {short_name(to)}", (100 * share, at), va="center", color=BLACK)
    axes.set_xlim(0, 140 * max(shown["influence"].max(), 1e-9) if len(shown) else 1)
    axes.set_xlabel("weight shift if left out (percentage points)\n(+: positive, -: negative)")
    axes.grid(axis="x", color=GRID)
    row_labels(axes, _labels(shown))


def _labels(rows: pd.DataFrame) -> list[str]:
    """``item, day, + or -`` of each row."""
    texts = []
    labels = rows[str(rows.columns[2])]  # of the first task
    for item, time, label in zip(rows["item"], rows["timestamp"], labels, strict=True):
        day = datetime.fromtimestamp(int(time), UTC).date().isoformat()
        # In data without items and times, the times number the rows.
        name = f"{printable(str(item))}, {day}" if item else f"row {time}"
        sign = "+" if label == 1 else "-"
        texts.append(f"{name[:28]} {sign}")
    return texts


def _toward(rows: pd.DataFrame) -> list[str]:
    """The base model towards which each row shifted the most weight."""
    shifts = rows.filter(regex="^shift_")
    names = [str(name).removeprefix("shift_") for name in shifts.columns]
    return [names[place] for place in shifts.to_numpy().argmax(axis=1)] if len(rows) else []

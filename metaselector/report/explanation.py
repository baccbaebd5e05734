"""What adapting to one user did, as text, table and figure."""

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
"""Support rows that text and figure have, those of most influence."""
_NEUTRAL = "#999999"
_READABLE = 100
"""Most signs of a user's name in that of a file."""
_PLAIN = re.compile(rf"[a-z0-9_-][a-z0-9_.-]{{0,{_READABLE - 1}}}")


def write_explanation(
    folder: Path, user: str, weights: pd.DataFrame, rows: pd.DataFrame
) -> list[Path]:
    """Write all support rows as CSV, and a figure; returns both paths, see :func:`file_stem`."""
    name = file_stem(user)
    table, figure = folder / f"{name}.csv", folder / f"{name}.png"
    write_text(table, rows.to_csv(index=False))
    save(explanation(user, weights, rows), figure)
    return [table, figure]


def file_stem(user: str) -> str:
    """``user-<user>``, a name for files of this user alone, wherever they are copied to.

    Where a file system might refuse the user's name, or take it for another's (it may know no
    capitals), other signs than plain ones become ``_`` and a digest of the name follows ``~``,
    which no plain name holds.
    """
    if _PLAIN.fullmatch(user):
        return f"user-{user}"
    digest = hashlib.sha256(user.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"user-{re.sub('[^A-Za-z0-9_.-]', '_', user[:_READABLE])}~{digest}"


def described(user: str, weights: pd.DataFrame, rows: pd.DataFrame) -> str:
    """The same for a terminal; arguments are those of an
    :class:`~metaselector.inference.explanation.Explanation`."""
    width = max([len("base model"), *map(len, weights["base_model"])])
    lines = [f"user {printable(user)}: mean weights on the test window", ""]
    lines.append(f"{'base model':<{width}}  before   after  change")
    for name, before, after in weights.itertuples(index=False):
        lines.append(f"{name:<{width}}  {before:6.3f}  {after:6.3f}  {after - before:+6.3f}")
    lines.append("")
    if rows.empty:
        return "\n".join([*lines, "there is no support row to adapt on"])
    shown = most_influential(rows)
    lines.append(f"{len(shown)} of {len(rows)} support rows that moved them most")
    labels = list(zip(_labels(shown), _toward(shown), shown["influence"], strict=True))
    width = max(len(label) for label, _, _ in labels)
    lines += [f"{label:<{width}}  {share:.4f} towards {to}" for label, to, share in labels]
    return "\n".join(lines)


def most_influential(rows: pd.DataFrame) -> pd.DataFrame:
    """The support rows of most influence, the most first; of equals the later one."""
    return rows[::-1].sort_values("influence", ascending=False, kind="stable")[:SHOWN]


def explanation(user: str, weights: pd.DataFrame, rows: pd.DataFrame) -> Figure:
    """Weights before and after adapting, and the support rows that moved them most."""
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
    axes.set_title("Weight that each support row moved")
    axes.barh(np.arange(len(shown)), 100 * shown["influence"], 0.7, color=VERMILION)
    for at, (to, share) in enumerate(zip(_toward(shown), shown["influence"], strict=True)):
        axes.annotate(f" to {short_name(to)}", (100 * share, at), va="center", color=BLACK)
    axes.set_xlim(0, 140 * max(shown["influence"].max(), 1e-9) if len(shown) else 1)
    axes.set_xlabel("percentage points, by leaving it out\n(+: a positive, -: a negative)")
    axes.grid(axis="x", color=GRID)
    row_labels(axes, _labels(shown))


def _labels(rows: pd.DataFrame) -> list[str]:
    """``item, day, + or -`` of each row."""
    found = []
    labels = rows[str(rows.columns[2])]  # of the first task
    for item, time, label in zip(rows["item"], rows["timestamp"], labels, strict=True):
        day = datetime.fromtimestamp(int(time), UTC).date().isoformat()
        # Of data without items and times, the times count the rows.
        name = f"{printable(str(item))}, {day}" if item else f"row {time}"
        sign = "+" if label == 1 else "-"
        found.append(f"{name[:28]} {sign}")
    return found


def _toward(rows: pd.DataFrame) -> list[str]:
    """The base model that each row moved most weight to."""
    shifts = rows.filter(regex="^shift_")
    names = [str(name).removeprefix("shift_") for name in shifts.columns]
    return [names[place] for place in shifts.to_numpy().argmax(axis=1)] if len(rows) else []

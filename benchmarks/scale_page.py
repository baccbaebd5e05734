"""The page of :mod:`benchmarks.scale`: what each stage costs, and how that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from metaselector.config import Config

AIMS = (
    "Aims with 20,000,000 rows on two cores: no stage takes more than 600 seconds and 4,000 MB, "
    "but for training itself, at 150,000 rows a second; the page of `report` has at most 3 MB."
)
Stages = Mapping[str, Mapping[str, Mapping[str, float]]]
UNITS = {"seconds": "seconds", "peak_mb": "peak MB", "disk_mb": "disk MB"}
"""Titles of the figures of a stage."""


def page(found: Mapping[str, Any]) -> str:
    """Markdown with a table of each figure, a line for each stage and a column for each size.

    Args:
        found: what ``scale.json`` has.
    """
    stages: Stages = found["stages"]
    machine = found["machine"]
    loads = [each["load"] for of_size in stages.values() for each in of_size.values()]
    lines = [
        "## Every stage by the number of rows",
        "",
        f"Command: `{found['command']}`",
        "",
        f"{machine['processor']}, {machine['cores']} cores; {found['users']:,} users are "
        f"predicted. Processes that train and evaluate, their memory counted together: "
        f"{found.get('jobs', 1)}. {_busy(max(loads), machine['cores'])}",
    ]
    for unit, title in UNITS.items():
        lines += ["", *_table(stages, unit, title)]
    pages = {rows: of["report"]["page_mb"] for rows, of in stages.items() if "report" in of}
    if pages:
        each = ", ".join(f"{size:,.2f} MB with {int(rows):,} rows" for rows, size in pages.items())
        lines += ["", f"The HTML page of `report` has {each}."]
    rates = {
        rows: trained_rows(int(rows)) / of["pretrain"]["seconds"]
        for rows, of in stages.items()
        if "pretrain" in of
    }
    if rates:
        each = ", ".join(f"{rate:,.0f} with {int(rows):,} rows" for rows, rate in rates.items())
        lines += ["", f"Rows a second of training, base models and windows together: {each}."]
    return "\n".join([*lines, "", AIMS]) + "\n"


def trained_rows(rows: int) -> int:
    """Rows that an epoch of all base models on all windows has, with the default settings.

    Example:
        >>> trained_rows(1_000_000)
        11500000
    """
    config = Config()
    percent = config.split.early + config.split.train + config.split.valid
    return round(rows * len(config.base_models) * percent / 100)


def _busy(load: float, cores: int) -> str:
    if load <= cores + 0.5:  # the stages themselves use all cores
        return f"The load was {load:.1f} at most: nothing else ran."
    return (
        f"**Other work ran on the machine** (load up to {load:.1f}), so seconds say little; "
        "processor seconds, in scale.json, say more."
    )


def _table(stages: Stages, unit: str, title: str) -> list[str]:
    """Lines of the table of one figure; the last column is the exponent of growth."""
    sizes = list(stages)
    names = list(dict.fromkeys(name for of_size in stages.values() for name in of_size))
    heads = [f"{title}, {int(rows):,} rows" for rows in sizes]
    grows = ["grows as"] if len(sizes) > 1 else []
    lines = [
        "| " + " | ".join(["stage", *heads, *grows]) + " |",
        "|---" + "|---:" * len([*heads, *grows]) + "|",
    ]
    for name in names:
        cells = [
            f"{stages[rows][name][unit]:,.0f}" if name in stages[rows] else "" for rows in sizes
        ]
        if grows:
            cells.append(growth(stages, name, unit))
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return lines


def growth(stages: Stages, name: str, unit: str) -> str:
    """The power of the rows with which a figure grows, from the two largest sizes.

    Example:
        >>> stages = {"100": {"prepare": {"seconds": 2}}, "10000": {"prepare": {"seconds": 20}}}
        >>> growth(stages, "prepare", "seconds")
        'rows^0.5'
    """
    both = [
        (int(rows), of[name][unit]) for rows, of in stages.items() if of.get(name, {}).get(unit)
    ]
    if len(both) < 2:
        return ""
    (fewer, before), (more, after) = both[-2:]
    return f"rows^{math.log(after / before) / math.log(more / fewer):.1f}"

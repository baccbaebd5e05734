"""Write the page of an analysis: its tables and figures, with explanations."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pandas as pd

from metaselector.common.files import write_text
from metaselector.report.analysis_sections import SECTIONS, Table
from metaselector.report.figures.analysis import MEND
from metaselector.report.inputs import read_command, read_table
from metaselector.report.markdown import code, escaped, table_row

NOTHING = "Nothing to show for this run."


def write_analysis_summary(run_dir: Path) -> Path:
    """Write ``analysis/summary.md`` from the tables of ``analysis/``.

    Returns:
        The file written.

    Raises:
        DataError: a table or ``environment.json`` is missing or damaged.
    """
    directory = run_dir / "analysis"
    command = shlex.join(["metaselector", "analyse", "--run", str(run_dir)])
    run_command = read_command(run_dir / "environment.json")
    parts = [
        "# Analysis",
        f"Command: {code(command)}, for a run created by {code(run_command)}. "
        "With several seeds: mean ± standard deviation over seeds.",
    ]
    for section in SECTIONS:
        parts += [f"## {section.title}", section.text]
        for table in section.tables:
            path = directory / f"{table.name}.csv"
            frame = read_table(path, (*table.keys, *table.columns), MEND)
            parts += [_markdown(frame, table) if len(frame) else NOTHING]
            parts += [f"<sub>[{path.name}]({path.name})</sub>"]
        for image in section.figures:
            if (directory / image).exists():
                parts.append(f"![{section.title}]({image})")
    path = directory / "summary.md"
    write_text(path, "\n\n".join(parts) + "\n")
    return path


def _markdown(frame: pd.DataFrame, table: Table) -> str:
    keys = list(table.keys)
    values = frame[list(table.columns)]
    by_seed = values.groupby([frame[key] for key in (*keys, "seed") if key in frame], sort=False)
    groups = by_seed.mean().groupby(level=keys, sort=False)
    means, stds = groups.mean(), groups.std()
    rows = [[*keys, *(title for title, _ in table.columns.values())]]
    rows.append(["---"] * len(keys) + ["---:"] * len(table.columns))
    patterns = [pattern for _, pattern in table.columns.values()]
    lines = means.index.to_frame().itertuples(index=False)
    for names, mean, std in zip(lines, means.to_numpy(), stds.to_numpy(), strict=True):
        rows.append(
            [f"{name:.4g}" if isinstance(name, float) else escaped(str(name)) for name in names]
            + [_cell(*cell) for cell in zip(mean, std, patterns, strict=True)]
        )
    return "\n".join(map(table_row, rows))


def _cell(mean: float, std: float, pattern: str) -> str:
    if math.isnan(mean):
        return ""
    text = pattern.format(mean).removesuffix("%")
    if math.isnan(std) or std == 0:
        return text
    return f"{text} ± {pattern.replace('+', '').format(std).removesuffix('%')}"

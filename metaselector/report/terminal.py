"""Print tables on the terminal: safe cells, transferred parameters and headroom."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaselector.common.text import printable
from metaselector.report.inputs import read_table
from metaselector.training.transfer import TRANSFER_FILE


def cell(value: object, style: str = "", *, no_wrap: bool | None = None) -> Text:
    """Text that rich shows literally, without markup or escape sequences."""
    return Text(printable(str(value)), style, no_wrap=no_wrap)


COLUMNS = ["model", "parameter", "how", "rows", "of"]


def print_transfer(run_dir: Path, console: Console) -> None:
    """Print ``transfer.csv``, merging equal lines of seeds and windows.

    Raises:
        DataError: it is missing or damaged.
    """
    table = read_table(run_dir / TRANSFER_FILE, COLUMNS, "pretrain again, in another --run")
    shown = Table(title="transferred from the source run", title_justify="left")
    shown.add_column("parameter", overflow="fold")
    shown.add_column("how")
    shown.add_column("rows", justify="right")
    for line in table[COLUMNS].drop_duplicates().itertuples():
        rows = f"{line.rows:,} of {line.of:,}"
        shown.add_row(cell(f"{line.model}.{line.parameter}"), cell(line.how), rows)
    console.print(shown)
    console.print(cell(run_dir / TRANSFER_FILE), highlight=False, soft_wrap=True)


_FIGURES = {
    "best-single": "best single model (logloss)",
    "oracle": "oracle",
    "chance": "oracle by chance",
    "chance-sd": "standard deviation of chance",
    "chance-p": "p-value of the oracle against chance",
    "split-half": "split-half",
    "between-share": "share of variance between users",
}


def print_headroom(table: pd.DataFrame, console: Console) -> None:
    """Print a table of :func:`metaselector.evaluate.headroom_table.headroom_table` by window."""
    for window, part in table.groupby("window", sort=False):
        every = part["models"].iloc[0]
        title = f"{window}: what choosing among {every.replace('+', ', ')} can win"
        shown = Table(title=cell(title), title_justify="left")
        shown.add_column("gain in logloss on the best single model", overflow="fold")
        sizes = part["figure"].str.startswith("support-size")
        figures = part[~sizes]
        seeds = figures["seed"].dropna().unique()
        several = len(seeds) > 1
        shown.add_column("mean" if several else "value", justify="right")
        shown.add_column("95 % interval", justify="right", no_wrap=True)
        columns = [figures.loc[figures["seed"] == seed, "value"] for seed in seeds if several]
        for seed in seeds if several else ():
            shown.add_column(f"seed {seed}", justify="right")
        main = figures[figures["seed"].isna()] if several else figures
        for place, line in enumerate(main.to_dict("records")):
            low, high = line["low"], line["high"]
            interval = "" if pd.isna(low) else f"{low:.4f} to {high:.4f}"
            value = "" if pd.isna(line["value"]) else f"{line['value']:.4f}"
            of_seeds = [f"{values.iloc[place]:.4f}" for values in columns]
            shown.add_row(cell(_headroom_name(line, every)), value, interval, *of_seeds)
        console.print(shown)
        marks = [
            f"{line['figure'].removeprefix('support-size-')} of users have at most "
            f"{line['value']:.0f}"
            for line in part[sizes].to_dict("records")
        ]
        if marks:
            text = cell(f"support rows: {', '.join(marks)}")
            console.print(text, highlight=False, soft_wrap=True)


def _headroom_name(line: Mapping[Hashable, Any], every: str) -> str:
    figure, models = line["figure"], line["models"]
    if figure == "evidence":
        return f"with {line['n']} {'row' if line['n'] == 1 else 'rows'} of evidence"
    if figure == "added":
        return f"added by {models}"
    if figure == "perfect-knowledge":
        among = "" if models == every else f" among {models.replace('+', ', ')}"
        return f"perfect knowledge{among}"
    return _FIGURES[figure]

"""What base models got from the run they started from."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from metaselector.report.inputs import read_table
from metaselector.report.terminal import cell
from metaselector.training.transfer import TRANSFER_FILE

COLUMNS = ["model", "parameter", "how", "rows", "of"]


def print_transfer(run_dir: Path, console: Console) -> None:
    """Print ``transfer.csv``, where seeds and windows are alike in one line.

    Raises:
        DataError: it is missing or damaged.
    """
    table = read_table(run_dir / TRANSFER_FILE, COLUMNS, "pretrain again, in another --run")
    shown = Table(title="from the source", title_justify="left")
    shown.add_column("parameter", overflow="fold")
    shown.add_column("how")
    shown.add_column("rows", justify="right")
    for line in table[COLUMNS].drop_duplicates().itertuples():
        rows = f"{line.rows:,} of {line.of:,}"
        shown.add_row(cell(f"{line.model}.{line.parameter}"), cell(line.how), rows)
    console.print(shown)
    console.print(cell(run_dir / TRANSFER_FILE), highlight=False, soft_wrap=True)

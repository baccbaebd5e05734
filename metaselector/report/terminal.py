"""Print tables on the terminal: safe cells, plug-ins and transferred parameters."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from metaselector.common.text import printable, shortened
from metaselector.config.plugins.registry import Plugin
from metaselector.report.inputs import read_table
from metaselector.training.transfer import TRANSFER_FILE


def cell(value: object, style: str = "", *, no_wrap: bool | None = None) -> Text:
    """Text that rich shows literally, without markup or escape sequences."""
    return Text(printable(str(value)), style, no_wrap=no_wrap)


_LONGEST = 500  # characters of a cell


def print_plugins(plugins: Iterable[Plugin], console: Console) -> None:
    """Print one line per plug-in, in the given order."""
    shown = Table(box=None, pad_edge=False)
    for title in ("kind", "name", "source", "description"):
        shown.add_column(title, overflow="fold")
    for plugin in plugins:
        shown.add_row(*(cell(shortened(text, _LONGEST)) for text in plugin))
    console.print(shown)


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

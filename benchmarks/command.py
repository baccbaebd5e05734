"""What the command lines of all benchmarks share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from metaselector.common.errors import UserError

JsonOption = Annotated[Path, typer.Option("--json", help="Where the figures go.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Your own copy of MovieLens-100K.", show_default="fetched into data/"
    ),
]
DeviceOption = Annotated[str, typer.Option(help="Torch device.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads of torch.")]
RepeatsOption = Annotated[int, typer.Option(min=1, help="Timed calls, in turns.")]


def new_app() -> typer.Typer:
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def run(app: typer.Typer) -> None:
    """Run the command line; a user's mistake is one line and exit code 2.

    SIGTERM ends it as Ctrl-C does, so that processes and networks of its own end, too.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def print_table(first: str, others: list[str], rows: Mapping[str, list[str]], title: str) -> None:
    """Print `rows` by name, numbers to the right."""
    table = Table(first, title=title)
    for column in others:
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console().print(table)


def print_figures(found: Mapping[str, float | None], targets: Mapping[str, str]) -> None:
    """Print the published figures beside their targets."""
    rows = {
        name: ["not measured" if value is None else f"{value:,.2f}", targets.get(name, "")]
        for name, value in found.items()
    }
    print_table("figure", ["measured", "target"], rows, "figures")

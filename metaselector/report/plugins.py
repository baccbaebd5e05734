"""The list of plug-ins."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from metaselector.common.text import shortened
from metaselector.config.plugins.registry import Plugin
from metaselector.report.terminal import cell

_LONGEST = 500  # characters of a cell


def print_plugins(plugins: Iterable[Plugin], console: Console) -> None:
    """Print one line for each, in the order given."""
    shown = Table(box=None, pad_edge=False)
    for title in ("kind", "name", "source", "what it is"):
        shown.add_column(title, overflow="fold")
    for plugin in plugins:
        shown.add_row(*(cell(shortened(text, _LONGEST)) for text in plugin))
    console.print(shown)

"""Text on a terminal."""

from __future__ import annotations

from rich.text import Text

from metaselector.common.text import printable


def cell(value: object, style: str = "", *, no_wrap: bool | None = None) -> Text:
    """What rich shows as it is: a name is neither markup nor an escape sequence."""
    return Text(printable(str(value)), style, no_wrap=no_wrap)

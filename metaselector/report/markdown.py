"""Escape names from data and settings for Markdown."""

from __future__ import annotations

import re

from metaselector.common.text import printable


def escaped(text: str) -> str:
    r"""Escape `text` so that Markdown shows it literally, also in a table cell.

    Example:
        >>> print(escaped("a|b <script>"))
        a\|b \<script>
    """
    text = re.sub(r"([\\`|*]|<(?=[A-Za-z/!?])|&(?=[A-Za-z0-9#]+;))", r"\\\1", printable(text))
    return text.replace("](", r"]\(")


def code(text: str) -> str:
    """`text` as inline code, between enough backticks."""
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def table_row(cells: list[str]) -> str:
    """A table line from cells in Markdown."""
    return f"| {' | '.join(cells)} |"

"""Text of somebody else, such as a model's name, in Markdown."""

from __future__ import annotations

import re

from metaselector.common.text import printable


def escaped(text: str) -> str:
    r"""`text` such that Markdown shows it as it is, in a cell of a table too.

    Example:
        >>> print(escaped("a|b <script>"))
        a\|b \<script>
    """
    text = re.sub(r"([\\`|*]|<(?=[A-Za-z/!?])|&(?=[A-Za-z0-9#]+;))", r"\\\1", printable(text))
    return text.replace("](", r"]\(")


def code(text: str) -> str:
    """`text` between as many backticks as it takes."""
    text = printable(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    blank = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def table_row(cells: list[str]) -> str:
    """A line of a table, of cells that are Markdown."""
    return f"| {' | '.join(cells)} |"

"""Make text from data and libraries printable, and short enough for one line."""

from __future__ import annotations

import re

LONGEST_LINE = 1000
"""Most characters of an error message."""
LONGEST_VALUE = 80
"""Most characters of a value in a message."""


def printable(text: str, keep: str = "") -> str:
    """Escape the characters of `text` that a terminal would interpret or hide.

    These are all characters that Unicode does not count as printable: escape sequences, line
    breaks, marks that change the writing direction, lone surrogates, unusual spaces.

    Args:
        keep: characters that are not escaped.

    Example:
        >>> print(printable("red: \\x1b[31m"))
        red: \\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text
    )


def shortened(text: str, longest: int) -> str:
    """`text`, with its middle replaced by ``...`` if it is longer than `longest` characters.

    Example:
        >>> shortened("abcdefghij", 7)
        'ab...ij'
    """
    if len(text) <= longest:
        return text
    head = (longest - 2) // 2
    return f"{text[:head]}...{text[len(text) - (longest - 3 - head) :]}"


def one_line(text: str) -> str:
    """A message as one printable line of limited length; its beginning and end are kept."""
    if len(text) > 100 * LONGEST_LINE:  # do not process text that is cut anyway
        text = shortened(text, 100 * LONGEST_LINE)
    return shortened(printable(re.sub(r"\s*[\r\n]\s*", " ", text.strip())), LONGEST_LINE)


def shown(value: object) -> str:
    """A value quoted for a one-line message, and shortened if long."""
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "...")
    return shortened(repr(value), LONGEST_VALUE)

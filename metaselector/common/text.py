"""Text of somebody else, such as a name in the data, made fit for a line that a person reads."""

from __future__ import annotations

import re

LONGEST_LINE = 1000
"""Characters of an error's line."""
LONGEST_VALUE = 80
"""Characters of a value in such a line."""


def printable(text: str, keep: str = "") -> str:
    """`text` with what a terminal obeys or hides, rather than shows, written as Python escapes it.

    That is whatever Unicode does not count as printable: escape sequences, line breaks, marks that
    turn the direction of writing, lone surrogates, blanks that look like others.

    Args:
        keep: characters that stay as they are.

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
    """`text`, its middle left out where it has more than `longest` characters.

    Example:
        >>> shortened("abcdefghij", 7)
        'ab...ij'
    """
    if len(text) <= longest:
        return text
    head = (longest - 2) // 2
    return f"{text[:head]}...{text[len(text) - (longest - 3 - head) :]}"


def one_line(text: str) -> str:
    """A message as one printable line of a bounded length; it keeps its beginning and its end."""
    if len(text) > 100 * LONGEST_LINE:  # what is cut anyway need not be looked at
        text = shortened(text, 100 * LONGEST_LINE)
    return shortened(printable(re.sub(r"\s*[\r\n]\s*", " ", text.strip())), LONGEST_LINE)


def shown(value: object) -> str:
    """A value quoted for a one-line message, shortened where long."""
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 3] + "...")
    return shortened(repr(value), LONGEST_VALUE)

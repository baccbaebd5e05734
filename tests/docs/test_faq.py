"""The messages that the questions quote are those of the source."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from .conftest import DOCS, ROOT

PAGE = (DOCS / "faq.md").read_text(encoding="utf-8")
MESSAGES = [" ".join(block.split()) for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)]
PLAIN = 15
"""Characters that a piece of the source has at least, for it to tell a message."""


@cache  # not when the module is imported: that takes seconds
def patterns() -> list[re.Pattern[str]]:
    """All longer strings of the source; what is filled in may be anything."""
    found = []
    for path in (ROOT / "metaselector").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else None for v in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [node.value]
            else:
                continue
            plain = [part for part in parts if isinstance(part, str)]
            if max(map(len, plain), default=0) >= PLAIN or sum(map(len, plain)) > PLAIN:
                regex = "".join(".+?" if part is None else re.escape(part) for part in parts)
                found.append(re.compile(regex))
    return found


def covered(message: str) -> float:
    """The share of the message that a string of the source accounts for."""
    spans = [match.span() for pattern in patterns() if (match := pattern.search(message))]
    return len({place for start, stop in spans for place in range(start, stop)}) / len(message)


@pytest.mark.parametrize("message", MESSAGES)
def test_quoted_messages_are_those_of_the_source(message: str) -> None:
    assert covered(message) > 0.5


def test_another_message_is_not() -> None:
    assert covered("ratings.csv:4 (column user): user 'b' has one row only; bring more rows") < 0.5


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 12

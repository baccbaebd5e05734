"""Names from data and settings in Markdown."""

from __future__ import annotations

import pytest

from metaselector.report.markdown import code, escaped

HOSTILE = {
    "a|b": r"a\|b",
    r"a\|b": r"a\\\|b",
    "`a` *b*": r"\`a\` \*b\*",
    "<script>alert(1)</script>": r"\<script>alert(1)\</script>",
    "&lt;b&#62;": r"\&lt;b\&#62;",
    "[a](javascript:b)": r"[a]\(javascript:b)",
    "a\n\n# b": r"a\\n\\n# b",
    "p < 0.001, [+0.1, -0.2], a_b": "p < 0.001, [+0.1, -0.2], a_b",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_names_as_they_are(text: str) -> None:
    assert escaped(text) == HOSTILE[text]


@pytest.mark.parametrize(
    ("text", "expected"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a``", "``` `a`` ```")]
)
def test_code_ends_where_it_should(text: str, expected: str) -> None:
    assert code(text) == expected

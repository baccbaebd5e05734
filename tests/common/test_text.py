"""Text from data and libraries in one line."""

from __future__ import annotations

import pytest

from metaselector.common.text import LONGEST_LINE, one_line, printable, shortened, shown

HOSTILE = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "bell\x07 back\x08 \x9b2J": r"bell\x07 back\x08 \x9b2J",
    "user\u202egnp.exe": r"user\u202egnp.exe",
    "\u2066a\u2069 \u200b \ufeff": r"\u2066a\u2069 \u200b \ufeff",
    "half \ud800": r"half \ud800",
    "tag \U000e0041": r"tag \U000e0041",
    "a\u2028b\x85c": r"a\u2028b\x85c",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_terminal_obeys_or_hides_is_escaped(text: str) -> None:
    assert printable(text) == HOSTILE[text]
    printable(text).encode()


@pytest.mark.parametrize("text", ["", "plain", "naïve 日本語 עברית Δ ±", r"a\nb", "[bold]x[/]"])
def test_what_can_be_read_stays(text: str) -> None:
    assert printable(text) == text


def test_line_breaks_can_stay() -> None:
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


@pytest.mark.parametrize("longest", range(5, 12))
def test_shortened_keeps_both_ends(longest: int) -> None:
    text = shortened("abcdefghij", longest)
    assert len(text) == min(longest, 10)
    assert text[0] == "a"
    assert text[-1] == "j"


def test_a_message_is_one_bounded_line_with_its_ends() -> None:
    text = one_line(
        "log.csv:3: 'x' is wrong:\n  because\r\n\r\n  of " + "y" * 10**6 + "; mend it\n"
    )
    assert text.startswith("log.csv:3: 'x' is wrong: because of yyy")
    assert text.endswith("; mend it")
    assert len(text) == LONGEST_LINE


def test_values_are_quoted_and_short() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == 82
    assert shown([1, None]) == "[1, None]"
    assert len(shown(list(range(1000)))) == 80

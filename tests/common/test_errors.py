"""What every message of an error keeps."""

from __future__ import annotations

from pathlib import Path

from metaselector.common.errors import DamagedError, DataError, UserError, nearest


def test_a_message_is_one_printable_line() -> None:
    assert str(UserError("no\x1b[2J\nway")) == r"no\x1b[2J way"


def test_place_and_remedy_survive_an_endless_value() -> None:
    error = DataError(Path("log.csv"), f"'{'x' * 5000}' is no time; mend it", line=7, column="t")
    assert str(error).startswith("log.csv:7 (column t): 'xxx")
    assert str(error).endswith("is no time; mend it")
    assert str(DamagedError(Path("a\nb"), "cut off")) == "a b: cut off; train it again"


def test_the_nearest_name_is_proposed() -> None:
    assert nearest("usr", ["user", "item"]) == "did you mean 'user'?"
    assert nearest("xyz", ["user", "item"]) == "valid names: item, user"


def test_many_names_are_not_all_listed() -> None:
    text = nearest("zzz", [f"column {i:05}" for i in range(50_000)] + ["q" * 10**6])
    assert text.startswith("valid names: column 00000, ")
    assert text.endswith(", and 9,980 more")
    assert len(text) < 500


def test_endless_names_are_compared_by_their_beginning() -> None:
    endless = "ab" * 10**6
    assert nearest(endless, [endless, "item"]).startswith("valid names: abab")

"""Choosing the parameters that adapt."""

from __future__ import annotations

import pytest

from metaselector.adapt.engine import select_names
from metaselector.errors import ConfigError

NAMES = {"base_models.lr.weight": 0, "selector.hidden.weight": 0, "selector.hidden.bias": 0}


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("*",), list(NAMES)),
        (("selector.*",), ["selector.hidden.weight", "selector.hidden.bias"]),
        (("*.bias", "base_models.*"), ["base_models.lr.weight", "selector.hidden.bias"]),
        (("*.bias", "selector.hidden.bias"), ["selector.hidden.bias"]),
        ((), []),
    ],
)
def test_patterns_keep_the_order_of_the_names(
    patterns: tuple[str, ...], expected: list[str]
) -> None:
    assert list(select_names(NAMES, patterns)) == expected


def test_case_matters() -> None:
    with pytest.raises(ConfigError):
        select_names(NAMES, ("Selector.*",))


def test_pattern_without_a_match_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'selector.hiden.bias'.*'selector.hidden.bias'"):
        select_names(NAMES, ("*", "selector.hiden.bias"))

"""Which parameters are trained in which epoch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metaselector.common.errors import ConfigError
from metaselector.training.freezing import Freezing, check_patterns

PATTERNS = ("*.table", "fm.bottom.*", "fm.tower")


def parameters() -> dict[str, nn.Parameter]:
    names = ("table", "bottom.weight", "bottom.bias", "tower", "bias")
    return {name: nn.Parameter(torch.zeros(1)) for name in names}


def trained(found: dict[str, nn.Parameter]) -> set[str]:
    return {name for name, parameter in found.items() if parameter.requires_grad}


def test_the_last_pattern_thaws_first() -> None:
    found = parameters()
    freezing = Freezing("fm", found, PATTERNS, every=2)
    expected = {
        1: {"bias"},
        2: {"bias"},
        3: {"bias", "tower"},
        4: {"bias", "tower"},
        5: {"bias", "tower", "bottom.weight", "bottom.bias"},
        6: {"bias", "tower", "bottom.weight", "bottom.bias"},
        7: set(found),
        30: set(found),
    }
    for epoch, names in expected.items():
        freezing.begin(epoch)
        assert trained(found) == names, epoch
    assert freezing.thawed == 7


def test_without_unfreezing_nothing_thaws() -> None:
    found = parameters()
    freezing = Freezing("fm", found, PATTERNS, every=None)
    freezing.begin(1000)
    assert trained(found) == {"bias"}
    assert freezing.thawed == 1
    freezing.end()
    assert trained(found) == set(found)


def test_a_pattern_is_of_a_base_model() -> None:
    found = parameters()
    Freezing("deepfm", found, PATTERNS, every=None).begin(1)
    assert trained(found) == set(found) - {"table"}


def test_a_parameter_waits_for_every_pattern_that_matches_it() -> None:
    found = parameters()
    freezing = Freezing("fm", found, ("*.tower", "*.bottom.*", "*.t*"), every=1)
    freezing.begin(2)
    assert trained(found) == {"bias", "table"}
    freezing.begin(4)
    assert trained(found) == set(found)


def test_something_must_be_left_to_train() -> None:
    with pytest.raises(ConfigError, match="freezes every parameter of base model 'fm'"):
        Freezing("fm", parameters(), ("*",), every=1)


def test_a_pattern_that_matches_nothing() -> None:
    names = [f"fm.{name}" for name in parameters()]
    check_patterns(PATTERNS, names)
    with pytest.raises(ConfigError, match=r"'fm.tabel' matches no .*did you mean 'fm.table'"):
        check_patterns(("*.tower", "fm.tabel"), names)

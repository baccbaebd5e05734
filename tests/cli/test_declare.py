"""Shared options: their place in a command's signature, and the settings they change."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from metaselector.cli.declare import Options, option, setting, with_options

RUN = option("--run", Path | None)
STEPS = setting("adapt.steps", "--steps", int | None)
SIZE = setting("adapt.support_size", "--size", int | None)
SOURCE = setting("transfer.init_from", "--init-from", Path | None)


def received(*listed: Any, **values: Any) -> Options:
    found: list[Options] = []

    @with_options(*listed)
    def command(options: Options) -> None:
        found.append(options)

    command(**values)
    return found[0]


def test_settings_are_collected_by_their_dotted_names() -> None:
    options = received(STEPS, SIZE, SOURCE, steps=3, size=5, init_from=Path("there"))
    assert options.settings == {
        "adapt": {"steps": 3, "support_size": 5},
        "transfer": {"init_from": "there"},
    }


@pytest.mark.parametrize("absent", [None, []])
def test_an_option_that_is_not_given_changes_nothing(absent: object) -> None:
    assert received(STEPS, steps=absent).settings == {}
    assert received(STEPS, steps=0).settings == {"adapt": {"steps": 0}}


def test_other_options_are_fields() -> None:
    assert received(RUN, STEPS, run=Path("r"), steps=None) == Options({}, run=Path("r"))


def test_own_parameters_come_first_or_where_they_are_placed() -> None:
    @with_options(RUN, "late", STEPS)
    def command(early: int, steps: int | None, late: int = 2) -> None:
        assert (early, steps, late) == (1, 3, 4)

    assert list(inspect.signature(command).parameters) == ["early", "run", "late", "steps"]
    command(early=1, run=None, late=4, steps=3)

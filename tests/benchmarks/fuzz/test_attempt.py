"""Trying an input: the fuzzer finds planted defects."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from random import Random

import pytest
from planted import catalogue

from benchmarks.fuzz.attempt import attempt, try_input
from benchmarks.fuzz.target import Target
from metaselector.data.registry import read


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("success", "success", ""),
        ("refused", "refused", "input: is refused"),
        ("traceback", "traceback", "KeyError: '0."),
        ("different", "different", "1 is read as 2"),
        ("slow", "slow", "more than 0.1 s"),
        ("waits", "slow", "more than 0.1 s"),
        ("large", "large", ""),  # the growth depends on the free memory of the process
        ("asks", "large", "8 PiB"),
    ],
)
def test_planted(name: str, kind: str, said: str, tmp_path: Path) -> None:
    found = try_input(catalogue(tmp_path)[name], 0, 5, tmp_path / "input")
    assert found.kind == kind
    assert found.said.startswith(said)
    assert found.is_finding == (kind not in ("success", "refused"))
    assert name != "slow" or found.seconds > 0  # a busy machine may spend the time elsewhere
    assert (found.mb > 20) == (name == "large")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_leaving_the_program_is_a_defect() -> None:
    assert attempt(lambda: sys.exit(0), 5, 500).kind == "traceback"


def test_the_place_is_the_innermost_of_the_product() -> None:
    found = attempt(lambda: read(None, Path("nowhere")), 5, 500)  # type: ignore[arg-type]
    assert found.said.startswith("AttributeError: ")
    assert found.where.startswith("metaselector/data/own/own_log.py:")
    assert found.where.endswith(" is_schema")
    assert "Traceback" in found.trace


def test_an_input_is_the_same_whoever_makes_it(tmp_path: Path) -> None:
    made = []
    for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1)):
        try_input(catalogue(tmp_path)["success"], seed, number, tmp_path / "input")
        made.append((tmp_path / "input" / "number").read_text())
    assert made[0] == made[1]
    assert len(set(made)) == 3


def test_an_input_that_cannot_be_made_is_a_finding(tmp_path: Path) -> None:
    def fail(random: Random, folder: Path) -> None:
        raise TypeError("no kernel")

    found = try_input(Target("t", fail, lambda folder: None), 0, 0, tmp_path / "input")
    assert found.kind == "traceback"
    assert found.said == "the input could not be made: TypeError('no kernel')"

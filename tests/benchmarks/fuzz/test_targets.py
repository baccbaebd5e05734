"""A few inputs of every target; `python -m benchmarks.fuzz` tries many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz.attempt import try_input
from benchmarks.fuzz.catalogue import catalogue
from benchmarks.fuzz.target import random_of, shares

SEED = 1
INPUTS = {name: 8 for name, target in catalogue(Path()).items() if target.group == "inputs"}
DAMAGED = {"damaged-data": 24, "damaged-model": 16, "damaged-snapshots": 2}


@pytest.mark.parametrize(("name", "count"), {**INPUTS, **DAMAGED}.items())
def test_no_input_finds_anything(
    name: str, count: int, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = catalogue(world)[name]
    for number in range(count):
        found = try_input(target, SEED, number, tmp_path / "input")
        assert not found.is_finding, f"{name} {number}: {found.said} {found.trace}"


def test_an_input_is_made_again(world: Path, tmp_path: Path) -> None:
    """Target, seed and number are enough to reproduce an input."""
    made: list[dict[str, dict[str, bytes]]] = [{}, {}]
    for name in INPUTS:
        for place, found in enumerate(made):
            folder = tmp_path / str(place) / name
            folder.mkdir(parents=True)
            catalogue(world)[name].write(random_of(3, name, 4), folder)
            files = (path for path in folder.rglob("*") if path.is_file())
            found[name] = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    assert all(made[0].values())
    assert made[0] == made[1]


def test_every_target_is_tried() -> None:
    targets = catalogue(Path())
    whole = shares([t for t in targets.values() if t.group == "inputs"], 100_000)
    assert whole.keys() == INPUTS.keys()
    assert min(whole.values()) > 500
    assert abs(sum(whole.values()) - 100_000) < len(whole)
    assert not shares(targets.values(), 0)
    assert {t.group for t in targets.values()} == {"inputs", "damaged", "kills"}

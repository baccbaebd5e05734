"""The commands of docs/quick-start.md, literally, in an environment with nothing but the wheel.

Only the first, which makes the environment, is not run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from .conftest import ROOT

PAGE = (ROOT / "docs" / "quick-start.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Your own CSV")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```(sh|text)\n(.*?)```", SECTION, re.DOTALL)
COMMANDS = [text.strip() for kind, text in BLOCKS if kind == "sh"]
NEXT = "next: "


def shown_after(command: str) -> list[str]:
    """The lines of the output that the page shows for a command."""
    place = next(i for i, (_, text) in enumerate(BLOCKS) if text.strip() == command)
    return BLOCKS[place + 1][1].splitlines()


def masked(line: str) -> str:
    """A line without what differs from machine to machine: numbers, and the width of tables."""
    return re.sub(r"[-+]?\d[\d.,:]*", "0", re.sub(r"[\s─━]+", " ", line)).strip()


def test_there_are_at_most_five_commands() -> None:
    assert 1 < len(COMMANDS) <= 5
    assert COMMANDS[0].startswith("git clone ")
    assert COMMANDS[0].endswith("make setup")


def test_setup_prints_the_second_command() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nsetup: ")[2]
    line = recipe.splitlines()[1].strip().removeprefix("@echo ").strip("'")
    line = line.replace("$(BIN)", ".venv/bin")
    assert [line] == shown_after(COMMANDS[0])
    assert line.removeprefix(NEXT).replace("YOUR", "shop") == COMMANDS[1]


def test_every_command_shown_prints_the_next() -> None:
    for command, following in pairwise(COMMANDS[1:]):
        assert shown_after(command)[-1] == NEXT + following


@pytest.mark.slow
def test_the_commands_lead_to_predictions(environment: Path, tmp_path: Path) -> None:
    """From the second one on.

    The first, ``git clone`` and ``make setup``, is not run: it would download all requirements. A
    link to an environment with the wheel stands in for the ``.venv`` that it makes.
    """
    (tmp_path / ".venv").symlink_to(environment.parent)
    shutil.copy(ROOT / "examples" / "shop" / "ratings.csv", tmp_path / "shop.csv")
    assert (tmp_path / "shop.csv").read_text().startswith(BLOCKS[0][1])
    for place, command in enumerate(COMMANDS[1:], 1):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        printed = done.stdout.splitlines()
        if place + 1 < len(COMMANDS):
            assert printed[-1] == NEXT + COMMANDS[place + 1]
        known = set(map(masked, printed))
        for line in shown_after(command):
            assert line == "…" or masked(line) in known, line
    found = pd.read_csv(tmp_path / "runs" / "shop" / "predictions.csv")
    log = pd.read_csv(tmp_path / "shop.csv")
    assert set(found["user_id"]) == set(log["user_id"])
    assert found["probability"].between(0, 1).all()
    assert found.groupby("user_id").size().eq(10).all()
    pairs = log[["user_id", "item_id"]].drop_duplicates()
    assert len(found.merge(pairs)) == 0  # nothing they have met
    assert found.groupby("user_id")["probability"].apply(lambda p: p.is_monotonic_decreasing).all()
    header = BLOCKS[-1][1].splitlines()[0]
    assert header == ",".join(found.columns)

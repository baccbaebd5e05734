"""Help and start-up."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import metaselector
from metaselector.cli import app
from metaselector.data.registry import DATASETS


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{name} {child_name}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))


def help_of(name: str) -> str:
    # Wide, so that no option is broken over lines.
    done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "400"})
    assert done.exit_code == 0
    return done.output


def test_the_commands_are_those_of_the_readme() -> None:
    assert set(COMMANDS) == {
        "",
        "config",
        "plugins",
        "data",
        "data fetch",
        "data describe",
        "data prepare",
        "data schema",
        "pretrain",
        "meta-train",
        "tune",
        "evaluate",
        "analyse",
        "headroom",
        "predict",
        "explain",
        "save",
        "card",
        "report",
        "reproduce",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(name: str) -> None:
    text, command = help_of(name), COMMANDS[name]
    for param in command.params:
        shown = param.opts[-1]
        assert shown.lower() in text.lower()
        explanation = getattr(param, "help", None)
        assert explanation, f"{shown} has no help"
        assert " ".join(explanation.split()[:4]) in " ".join(text.split())


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if not hasattr(c, "commands")])
def test_help_states_defaults(name: str) -> None:
    """Of every option but --set, which has none, and those that must be given."""
    lines = help_of(name).splitlines()
    for param in COMMANDS[name].params:
        if param.param_type_name == "option" and param.name not in ("help", "overrides"):
            line = next(line for line in lines if f" {param.opts[-1]} " in line and "│" in line)
            assert "[default: " in line or param.required, line


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if hasattr(c, "commands")])
def test_help_lists_commands(name: str) -> None:
    for child in COMMANDS[name].commands:
        assert f" {child} " in help_of(name)


def test_help_does_not_wait_for_torch() -> None:
    program = "import sys, metaselector.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "pyarrow", "pydantic"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("name", ["data fetch", "data describe", "data prepare", "reproduce"])
def test_help_names_every_data_set(name: str) -> None:
    text = " ".join(help_of(name).replace("│", " ").split())
    for dataset in DATASETS:
        if dataset != "amazon" or name != "data fetch":  # which cannot be fetched
            assert re.search(rf"\b{dataset}\b(?!-)", text), dataset


@pytest.mark.parametrize("name", COMMANDS)
def test_short_help(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split(), "-h"], env={"COLUMNS": "400"})
    assert done.exit_code == 0
    assert done.output == help_of(name)


def test_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.output == f"metaselector {metaselector.__version__}\n"


def test_the_module_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metaselector", "--help"], capture_output=True, text=True, check=True
    )
    assert "reproduce" in done.stdout

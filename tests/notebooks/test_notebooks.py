"""The committed notebooks are whole, small, and say nothing of the machine that executed them.

`make notebooks-check` executes them; nothing here does.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
MOST_BYTES = 200_000
PUBLIC = (
    "metaselector",
    "metaselector.data",
    "metaselector.evaluate",
    "metaselector.inference.explanation",
    "metaselector.models.registry",
    "metaselector.report",
    "metaselector.runs.run",
    "metaselector.testing",
    "base_models",
)
"""Modules, or packages of which every module may be used."""
PACKAGES = {"metaselector.data", "metaselector.evaluate", "metaselector.report"}

every_notebook = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)


def load(script: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(script.with_suffix(".ipynb").read_text(encoding="utf-8"))
    return found


def outputs(script: Path) -> Iterator[dict[str, Any]]:
    for cell in load(script)["cells"]:
        yield from cell.get("outputs", ())


def test_every_notebook_is_a_pair() -> None:
    assert [path.stem for path in SCRIPTS] == sorted(p.stem for p in FOLDER.glob("*.ipynb"))
    assert len(SCRIPTS) >= 6


@every_notebook
def test_a_pair_has_the_same_cells(script: Path) -> None:
    jupytext = pytest.importorskip("jupytext", reason="make notebooks brings it")
    cells = [
        [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
        for notebook in (jupytext.read(script), load(script))
    ]
    assert cells[0] == cells[1], "run `make notebooks`"


@every_notebook
def test_all_was_executed_in_order_and_without_complaints(script: Path) -> None:
    code = [cell for cell in load(script)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for output in outputs(script):
        assert output["output_type"] != "error"
        if output.get("name") == "stderr":
            text = output["text"]
            lines = text.splitlines() if isinstance(text, str) else text
            assert all(line.startswith("note: ") for line in lines)


@every_notebook
def test_it_is_small_and_has_pictures(script: Path) -> None:
    assert script.with_suffix(".ipynb").stat().st_size < MOST_BYTES
    assert any("image/png" in output.get("data", {}) for output in outputs(script))


@every_notebook
def test_nothing_is_of_the_machine(script: Path) -> None:
    notebook = load(script)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert not any(cell["metadata"] for cell in notebook["cells"])
    for output in outputs(script):
        data = {k: v for k, v in output.get("data", {}).items() if not k.startswith("image/")}
        text = json.dumps([data, output.get("text", "")])
        assert not re.search(r"(?<![\w.])(/[a-z]+/\w|[A-Z]:\\\\)|0x[0-9a-f]{6}", text)


@every_notebook
def test_the_text_says_what_how_long_and_what_next(script: Path) -> None:
    cells = ["".join(cell["source"]) for cell in load(script)["cells"]]
    first, last = cells[0], cells[-1]
    title, text = first.split("\n", 1)
    assert title.startswith(f"# {script.stem[:2]} · ")
    assert text.lstrip().startswith("This notebook ")
    assert "It takes " in text
    assert "## What to try next" in last


@every_notebook
def test_it_uses_public_modules_only(script: Path) -> None:
    used: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            used.add(node.module)
            assert not any(alias.name.startswith("_") for alias in node.names)
        elif isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            assert not re.match("_[^_]", node.attr)
    ours = {name for name in used if name.split(".")[0] in ("metaselector", "base_models")}
    assert ours
    for name in ours:
        assert name in PUBLIC or any(name.startswith(f"{package}.") for package in PACKAGES)

"""The files that contributors expect are well-formed, and agree with the package."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import metaselector

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
SCRIPTS = sorted((ROOT / "scripts").iterdir())
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def hooks() -> list[dict[str, Any]]:
    return [
        hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]
    ]


def test_the_citation_names_this_version_and_the_paper() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == metaselector.__version__
    (paper,) = citation["references"]
    assert paper["doi"] == "10.1145/3366423.3379999"
    assert paper["year"] == 2020
    assert [author["family-names"] for author in paper["authors"]] == (
        ["Luo", "Chen", "Cheng", "Dong", "He", "Feng", "Li"]
    )


def test_hooks_run_the_pinned_tools() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for hook in hooks():
        assert hook["language"] == "system", hook["id"]
        program = hook["entry"].split()[0]
        if program != "git":
            folder, _, tool = program.rpartition("/")
            assert folder == ".venv/bin"
            assert re.search(rf"^{tool}==", pinned, re.MULTILINE), tool


def test_hooks_run_what_make_check_runs() -> None:
    recipe = MAKEFILE.partition("\ncheck:")[2].partition("\n\n")[0]
    checks = re.findall(r"\$\(BIN\)/([a-z]+(?: [a-z]+)?)", recipe)
    entries = [hook["entry"] for hook in hooks()]
    assert checks == ["ruff format", "ruff check", "mypy"]
    for check in checks:
        assert any(entry.startswith(f".venv/bin/{check}") for entry in entries), check


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_issue_templates_are_forms(path: Path) -> None:
    form = read(path)
    assert form.keys() == {"name", "description", "labels", "body"}
    identifiers = [field["id"] for field in form["body"]]
    assert len(set(identifiers)) == len(identifiers)
    for field in form["body"]:
        assert field["type"] in {"input", "textarea", "checkboxes"}
        assert field["attributes"]["label"]
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_there_are_three_issue_templates() -> None:
    assert [path.stem for path in TEMPLATES] == ["bug", "feature", "number"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_and_a_target_runs_them(path: Path) -> None:
    assert os.access(path, os.X_OK)
    assert path.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(path)], check=True)
    assert f"scripts/{path.name}" in MAKEFILE

"""Pages reach each other, and what they quote exists."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase
from typing import Any

import pytest
import typer
from extensions import settings_reference

from metaselector.cli import app

from .conftest import DOCS, ROOT, code, markdown_files

SECTION = (
    r"(?:data|split|cold|selector|adapt|meta_train|evaluate|transfer|peer_learning|pretrain|checkpoint"
    r"|base_models\.[\w<>-]+)"
)
SETTING = re.compile(rf"(?:--set )?({SECTION}\.(?!csv)[a-z_.*]+)(?:[=:].*)?$")


def test_every_page_is_in_a_table_of_contents(pages: dict[str, str]) -> None:
    named = set()
    for name, text in pages.items():
        for block in re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL):
            entries = [line for line in block.split() if not line.startswith(":")]
            named |= {(ROOT / name).parent / f"{entry}.md" for entry in entries}
    found = {path for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    assert found - named == {DOCS / "index.md"}


@pytest.mark.parametrize("name", markdown_files())
def test_every_block_of_code_is_closed(name: str, pages: dict[str, str]) -> None:
    inside = False
    for number, line in enumerate(pages[name].splitlines(), start=1):
        if line.startswith("```"):
            assert line == "```" or not inside, f"line {number} opens a block within another"
            inside = not inside
    assert not inside


def slug(heading: str) -> str:
    """The anchor of a heading, on GitHub and on the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")


@pytest.mark.parametrize("name", markdown_files())
def test_links_with_an_anchor_lead_to_a_heading(name: str, pages: dict[str, str]) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*\.md)?#([^)\s]+)\)", pages[name]):
        path = (ROOT / name).parent / target if target else ROOT / name
        text = path.read_text(encoding="utf-8")
        headings = {slug(words) for words in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}
        assert anchor in headings, f"{target}#{anchor}"


NAMED = re.compile(r"\[`([\w.]+)`\]\(([^)\s]+\.py)\)")


@pytest.mark.parametrize("name", markdown_files())
def test_names_that_link_to_a_file_are_defined_there(name: str, pages: dict[str, str]) -> None:
    for words, target in NAMED.findall(pages[name]):
        source = ((ROOT / name).parent / target).read_text(encoding="utf-8")
        for part in words.split("."):
            definition = rf"^(?: *(?:class|def) )?{part}\b(?=[ :=(\[])"
            assert re.search(definition, source, flags=re.MULTILINE), f"{words} in {target}"


def test_pages_link_to_names() -> None:
    """Guards the test above."""
    found = {name: len(NAMED.findall(text)) for name, text in markdown_files().items()}
    assert found["docs/architecture.md"] > 20
    assert found["docs/glossary.md"] > 20


def commands() -> dict[str, set[str]]:
    """Options by command, such as ``data fetch``."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        given = (each for each in command.params if each.param_type_name == "option")
        options = {option for parameter in given for option in parameter.opts}
        found[name] = options | {"--help"}
        for child, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{name} {child}".strip())

    walk(typer.main.get_command(app), "")
    return found


def quoted(text: str) -> list[list[str]]:
    """The calls of the command line in a page, as words."""
    calls = [piece for piece in code(text) if piece.startswith("metaselector ")]
    return [shlex.split(call)[1:] for call in calls]


@pytest.mark.parametrize("name", markdown_files())
def test_quoted_commands_and_options_exist(name: str, pages: dict[str, str]) -> None:
    known = commands()
    for words in quoted(pages[name]):
        command = " ".join(words[:2]) if words[0] == "data" else words[0]
        command = "" if command.startswith("--") else command  # such as --version
        assert command in known, words
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        assert options <= known[command], words


def test_pages_quote_commands(pages: dict[str, str]) -> None:
    """Guards the test above."""
    calls = [" ".join(words) for text in pages.values() for words in quoted(text)]
    assert len(set(calls)) > 20
    assert "pretrain --init-from runs/other" in calls


@pytest.mark.parametrize("name", markdown_files())
def test_quoted_targets_of_make_exist(name: str, pages: dict[str, str]) -> None:
    rules = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    for piece in code(pages[name]):
        if piece.startswith("make "):
            called = [word for word in shlex.split(piece)[1:] if "=" not in word]
            assert set(called) <= targets | {"python3.11"}, piece


@pytest.mark.parametrize("name", markdown_files())
def test_quoted_settings_exist(name: str, pages: dict[str, str]) -> None:
    known = [line.key for _, lines in settings_reference.sections() for line in lines]
    known += [key.replace("base_models.<name>.pretrain", "pretrain") for key in known]
    for piece in code(pages[name]):
        if match := SETTING.match(piece):
            key = re.sub(r"^base_models\.[\w<>-]+\.", "base_models.<name>.", match[1])
            key = re.sub(r"\.options\..*", ".options", key)
            wanted = any(fnmatchcase(one, key) or one.startswith(f"{key}.") for one in known)
            assert wanted, piece

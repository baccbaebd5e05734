"""Who may import whom."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = """
common
config
data
models evaluate
training
meta report
runs
inference
testing plots
api cli
"""
"""The rooms of metaselector, lowest floor first. A room imports those on floors below it, and
nothing else: not those above, and not its neighbours on the same floor."""

FLOOR_OF = {room: i for i, rooms in enumerate(FLOORS.split("\n")) for room in rooms.split()}
TABLE_OF_CONTENTS = ("__init__", "__main__")
"""Of the package, which import what they list."""

MOST_IN_COMMON = 8
"""Modules of ``common``: what belongs to one room lies in that room."""

FORBIDDEN = {
    "base_models": {"metaselector", "tests", "benchmarks", "examples"},
    "metaselector": {"base_models", "tests", "benchmarks", "examples"},
    "benchmarks": {"tests"},
    "examples": {"tests"},
    "notebooks": {"tests", "benchmarks", "examples"},
}
"""Packages that no file of a folder may import. The registry finds base models by name only."""


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that `path` imports, wherever in the file it does."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    """``data`` for ``metaselector.data.encoded.batch``; None outside metaselector."""
    parts = module.split(".")
    return parts[1] if parts[0] == "metaselector" and len(parts) > 1 else None


def room_of_file(path: Path) -> str:
    return path.relative_to(ROOT / "metaselector").parts[0].removesuffix(".py")


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files("metaselector"), ids=identify)
def test_imports_point_down(path: Path) -> None:
    own = room_of_file(path)
    if own in TABLE_OF_CONTENTS:
        return
    for module in imports(path):
        other = room(module)
        if other is None or other == own:
            continue
        assert other in FLOOR_OF, f"{own} may not import {module} of the package's root"
        assert FLOOR_OF[other] < FLOOR_OF[own], f"{own} may not import {module}"


def test_every_room_has_a_floor() -> None:
    found = {room_of_file(path) for path in files("metaselector")}
    assert found == {*FLOOR_OF, *TABLE_OF_CONTENTS}


ROOMS_OF_PAGES = {
    "README.md": r"^  ([a-z][\w/., ]*?)  ",
    "CONTRIBUTING.md": r"^(`common` →(?:.+\n)+)",
    "docs/architecture.md": r"^\| \d+ \| (.+?) \|",
}
"""What matches where a page lists the rooms."""


@pytest.mark.parametrize("page", ROOMS_OF_PAGES)
def test_pages_list_the_rooms_in_their_order(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    lists = re.findall(ROOMS_OF_PAGES[page], text, flags=re.MULTILINE)
    words = [word for line in lists for word in re.findall("[a-z]+", line)]
    assert [word for word in words if word in FLOOR_OF] == FLOORS.split()


def test_little_is_common() -> None:
    modules = [p.stem for p in files("metaselector/common") if p.stem != "__init__"]
    assert len(modules) <= MOST_IN_COMMON, f"common holds {modules}; move what one room uses there"


@pytest.mark.parametrize("path", [p for f in FORBIDDEN for p in files(f)], ids=identify)
def test_packages_keep_apart(path: Path) -> None:
    forbidden = FORBIDDEN[path.relative_to(ROOT).parts[0]]
    found = {module.split(".")[0] for module in imports(path)}
    assert not found & forbidden


@pytest.mark.parametrize("path", files("base_models"), ids=identify)
def test_base_models_import_torch_only(path: Path) -> None:
    found = {module.split(".")[0] for module in imports(path)}
    assert found <= {"torch", "base_models", *sys.stdlib_module_names}


def test_the_parser_sees_every_kind_of_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the tests above against a parser that finds nothing."""
    path = tmp_path / "metaselector" / "data" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch\n"
        "from metaselector import meta\n"
        "from ..evaluate import metrics\n"
        "from . import batch\n"
        "def late():\n    import metaselector.cli\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    found = {room(module) for module in imports(path)}
    assert found == {None, "meta", "evaluate", "data", "cli"}


def test_built_in_base_models_exist() -> None:
    """The one link that no import shows."""
    from metaselector.models.registry import BUILT_IN, PER_TASK

    for target in (*BUILT_IN.values(), PER_TASK):
        assert importlib.util.find_spec(target.split(":")[0]) is not None

"""What is imported when the package is, is required by it: nothing else need be installed."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires

import pytest

from .conftest import ROOT

PACKAGES = ("metaselector", "base_models")
BROUGHT = {"pydantic-core": "pydantic", "sqlalchemy": "optuna"}
"""Packages that another one brings, whose errors and types these are."""
GUARDED = {"metaselector.runs.tuning": "tune"}
"""Folders that need an extra, and are imported only where its absence is handled."""


def plain(name: str) -> str:
    """The normalised name of a distribution, without versions and extras."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name.strip())[0]).lower()


def listed(section: str, key: str) -> set[str]:
    """The distributions that an option of setup.cfg names."""
    read = configparser.ConfigParser()
    read.read(ROOT / "setup.cfg")
    lines = read[section][key].split("\n")
    return {plain(line) for line in lines if line and not line.startswith("#")}


def unconditional(tree: ast.Module) -> Iterator[str]:
    """The modules that a module imports whenever it is imported, except those it may do without."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            yield node.module
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.Try | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


IMPORTS = [
    (".".join(path.relative_to(ROOT).with_suffix("").parts), imported)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for imported in unconditional(ast.parse(path.read_text(encoding="utf-8")))
]
THIRD = sorted(
    {top for _, module in IMPORTS if (top := module.partition(".")[0]) not in PACKAGES}
    - sys.stdlib_module_names
)


def folder_of(module: str) -> str | None:
    """The guarded folder that holds a module."""
    return next((folder for folder in GUARDED if f"{module}.".startswith(f"{folder}.")), None)


def test_only_imports_that_always_happen_count() -> None:
    text = """
import a.b
from c import d
if TYPE_CHECKING:
    import no
else:
    import e
try:
    import no
except ImportError:
    pass
class C:
    import f
    def method(self):
        import no
with g():
    import h
"""
    assert sorted(unconditional(ast.parse(text))) == ["a.b", "c", "e", "f", "h"]


@pytest.mark.parametrize("module", THIRD)
def test_modules_that_are_always_imported_are_required(module: str) -> None:
    (name,) = {plain(found) for found in packages_distributions()[module]}
    if name in BROUGHT:
        assert name in map(plain, requires(BROUGHT[name]) or ())
        name = BROUGHT[name]
    always = listed("options", "install_requires")
    for importer, imported in IMPORTS:
        if imported.partition(".")[0] == module and name not in always:
            folder = folder_of(importer)
            assert folder is not None, f"{importer} needs {name}, which setup.cfg does not require"
            assert name in listed("options.extras_require", GUARDED[folder]), importer


def test_folders_that_need_an_extra_are_imported_only_where_that_is_handled() -> None:
    for importer, imported in IMPORTS:
        assert folder_of(imported) in (None, folder_of(importer)), importer


def test_every_requirement_is_imported() -> None:
    """Somewhere, if only by a function."""
    text = "\n".join(
        path.read_text(encoding="utf-8")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    named = packages_distributions()
    used = {plain(name) for module in imported & named.keys() for name in named[module]}
    assert listed("options", "install_requires") <= used

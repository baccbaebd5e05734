"""What the package says of itself is true."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import metaselector
from metaselector.models import registry

ROOT = Path(__file__).parents[1]
LINK = re.compile(
    r"\]\((?!https?://|#|mailto:)([^)#\s]+)|(?:src|href)=\"(?!https?://|#)([^\"#]+)\""
)


def test_version() -> None:
    assert version("metaselector") == metaselector.__version__


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_entry_points_are_the_built_in_models(name: str) -> None:
    (point,) = entry_points(group=registry.GROUP, name=name)
    assert point.value == registry.BUILT_IN[name]
    assert point.load() is registry.model_class(name)


def test_no_other_base_model_is_installed_with_the_package() -> None:
    ours = {
        point.name
        for point in entry_points(group=registry.GROUP)
        if point.dist is not None and point.dist.name == "metaselector"
    }
    assert ours == set(registry.BUILT_IN)


def test_the_command_is_installed() -> None:
    (point,) = entry_points(group="console_scripts", name="metaselector")
    assert callable(point.load())


FOLDERS = ("docs", "benchmarks", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(page for f in FOLDERS for page in (ROOT / f).rglob("*.md"))])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_link_to_files_that_exist(path: Path) -> None:
    links = [a or b for a, b in LINK.findall(path.read_text(encoding="utf-8"))]
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing


def test_the_pattern_finds_links() -> None:
    """Guards the test above."""
    text = '[a](b/c.md#d) ![x](y.png) [web](https://z) [here](#h) <img src="f.png" width="1">'
    assert [a or b for a, b in LINK.findall(text)] == ["b/c.md", "y.png", "f.png"]

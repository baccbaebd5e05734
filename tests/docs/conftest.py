"""What the tests of the documentation share."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))  # for its extensions, as conf.py does


def markdown_files() -> dict[str, str]:
    """All pages that users read, by their path."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
    found += [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in found}


def code(text: str) -> list[str]:
    """What stands in backquotes, and the lines of shell blocks, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line.split("  #")[0] for block in blocks for line in block.splitlines()]
    return [" ".join(piece.split()) for piece in (*lines, *spans)]


@pytest.fixture(scope="session")
def pages() -> dict[str, str]:
    return markdown_files()

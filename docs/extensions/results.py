"""The directives ``results`` and ``speeds``: the results committed at build time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from extensions.repository_links import DOCS, ROOT, rewrite
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FIRST = "movielens-100k-warm"
"""The table on the front page."""


def summaries(folder: Path) -> list[Path]:
    """The Markdown files in a folder of results, without analyses, which have their own pages."""
    found = [path for path in folder.rglob("*.md") if "analysis" not in path.parts]
    return sorted(found, key=lambda path: (FIRST not in path.parts, len(path.parts), path))


def results(folder: Path) -> str:
    """All summaries below `folder`, a section each, with their files and environment."""
    parts = []
    for path in summaries(folder):
        text = rewrite(path.read_text(encoding="utf-8"), path.parent)
        name = path.stem if path.parent == folder else path.parent.relative_to(folder).as_posix()
        parts.append(_demoted(text, name) + "\n" + _behind(path))
    return "\n".join(parts)


def _demoted(text: str, name: str) -> str:
    """`text` with its first heading at level 3, followed by the folder's name, and others below."""
    highest = min(len(mark) for mark in re.findall(r"^(#+) ", text, re.MULTILINE))
    text = re.sub(
        r"^(#+) ", lambda m: "#" * (len(m[1]) - highest + 3) + " ", text, flags=re.MULTILINE
    )
    before, first, rest = text.partition("### ")
    text = before + first + re.sub(r"^### ", "#### ", rest, flags=re.MULTILINE)  # a second table
    return re.sub(r"^(### .*)$", rf"\1 (`{name}`)", text, count=1, flags=re.MULTILINE)


def _behind(page: Path) -> str:
    """When, where and with which versions the results of a page were made, and their files."""
    folder = page.parent
    own = folder / f"{page.stem}-environment.json"
    beside = [own, folder / "environment.json", folder.parent / "environment.json"]
    found = next((path for path in beside if path.exists()), None)
    lines = []
    if found is not None:
        made = json.loads(found.read_text(encoding="utf-8"))
        lines.append(
            f"{made['date'][:10]}, commit `{made['commit']}`; torch {made['packages']['torch']}, "
            f"{made['cores']} cores, threads: {made['threads']}, {made['device']}; "
            f"data `{str(made.get('data_sha256'))[:12]}`."
        )
    names = [p for p in sorted(folder.iterdir()) if p.suffix in {".csv", ".yaml", ".json", ".tex"}]
    if found == own:  # of several pages in the folder
        names = [p for p in names if p.name.startswith(page.stem)]
    relative = [f"[{p.name}](/../{p.relative_to(ROOT).as_posix()})" for p in names]
    lines.append(f"Files: {', '.join(relative)}.")
    return "\n*" + " ".join(lines) + "*\n"


def speeds(folder: Path) -> str:
    """Every measured figure of the JSON files in `folder`, with its command and machine."""
    parts = []
    for path, title, measured in measurements(folder):
        figures = {key: value for key, value in measured.items() if isinstance(value, int | float)}
        machine, versions = measured["machine"], measured["versions"]
        parts += [
            f"### {title.replace('_', ' ').capitalize()}",
            "",
            f"Command: `{measured['command']}`",
            "",
            "| measured | value |",
            "| --- | ---: |",
            *(f"| `{key}` | {_number(value)} |" for key, value in figures.items()),
            "",
            f"*{measured['date'][:10]}; {machine['processor']}, {machine['cores']} cores, "
            f"threads: {machine['threads']}, {machine['device']}; "
            + ", ".join(f"{name} {version}" for name, version in versions.items())
            + f". All figures: [{path.name}](/../{path.relative_to(ROOT).as_posix()}).*",
            "",
        ]
    return "\n".join(parts)


def measurements(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Each measurement of the JSON files, with its file and title.

    A file holds one, or several by title.
    """
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        several = {path.stem: found} if "machine" in found else found
        for title, measured in several.items():
            yield path, title, measured


def _number(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


class Generated(SphinxDirective):
    """Markdown generated from the files in the folder that the directive names."""

    required_arguments = 1
    write: ClassVar[Callable[[Path], str]]

    def run(self) -> list[nodes.Node]:
        folder = (DOCS / Path(self.env.docname).parent / self.arguments[0]).resolve()
        for path in (Path(__file__), *folder.rglob("*")):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(type(self).write(folder), allow_section_headings=True)


class Results(Generated):
    write = staticmethod(results)


class Speeds(Generated):
    write = staticmethod(speeds)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("results", Results)
    app.add_directive("speeds", Speeds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

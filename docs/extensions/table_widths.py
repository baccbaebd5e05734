"""A table that does not fit its column is a warning, and so an error, except on pages of results.

The theme lets such a table scroll in a box, where readers may miss what is out of sight. The width
is estimated from the words on the built page, by the rules of ``static/site.css``: names and
numbers of tables of up to six columns wrap, numbers of wider ones do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from sphinx.application import Sphinx
from sphinx.util import logging

SCROLLING = {
    *(f"benchmarks/{name}.html" for name in ("analysis", "base-model-sets", "suite")),
    *(f"benchmarks/{name}.html" for name in ("support-curve", "tables")),
    *("how-to/new-users.html", "quick-start.html"),
}
"""Pages whose tables of results may scroll."""
WRAPPING = 6
"""Most columns of a table whose numbers and names wrap."""
WIDTH = 100
"""How many characters fit beside each other: of 7.2 pixels, in a column of 742 in Chromium."""
PADDING = 2.5
"""Width of the space around a cell's text, in characters."""

_BREAK = re.compile(r"\s|(?<=-)(?=[a-z])", re.IGNORECASE)


class _Cell(NamedTuple):
    text: list[str]
    is_number: bool
    code: list[str]


class _Tables(HTMLParser):
    """The rows of a page's tables; the cells that Markdown writes span nothing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[_Cell]]] = []
        self.open: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        if tag == "table" and "docutils" in classes:
            self.open.add(tag)
            self.tables.append([])
        if "table" not in self.open:
            return
        if tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.open.add("cell")
            is_number = tag == "td" and "text-right" in classes
            self.tables[-1][-1].append(_Cell([], is_number, []))
        elif tag == "code":
            self.open.add(tag)

    def handle_endtag(self, tag: str) -> None:
        self.open.discard("cell" if tag in {"td", "th"} else tag)

    def handle_data(self, data: str) -> None:
        if {"table", "cell"} <= self.open:
            cell = self.tables[-1][-1][-1]
            cell.text.append(data)
            if "code" in self.open:
                cell.code.append(data)


def widths(page: str) -> Iterator[tuple[str, float]]:
    """The header of each table of an HTML page, and its least width in characters."""
    for rows in _Tables(page).tables:
        columns = max(map(len, rows), default=0)
        header = " | ".join("".join(cell.text) for cell in rows[0]) if rows else ""
        found = [0] * columns
        for row in rows:
            for place, cell in enumerate(row):
                found[place] = max(found[place], _least(row, place, cell))
        yield header, sum(found) + PADDING * columns


def _least(row: list[_Cell], place: int, cell: _Cell) -> int:
    """The width of what stays on one line in a cell."""
    text = " ".join("".join(cell.text).split())
    names = place == 0 and any(other.is_number for other in row)
    if len(row) > WRAPPING and (cell.is_number or names):
        return len(text)
    whole = cell.code if place == 0 else []
    return max(map(len, (*_BREAK.split(text), *whole)))


def too_wide(site: Path) -> Iterator[str]:
    """The tables of the pages below `site` that do not fit: ``page: header: reason``."""
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        if name in SCROLLING or name.startswith("_"):
            continue
        for header, width in widths(path.read_text(encoding="utf-8")):
            if width > WIDTH:
                yield (
                    f"{name}: table '{header}': about {width:.0f} characters wide, {WIDTH} fit; "
                    "shorten it, or swap rows and columns"
                )


def _check(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.name != "html":
        return
    for line in too_wide(Path(app.outdir)):
        logging.getLogger(__name__).warning(line, type="tables")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

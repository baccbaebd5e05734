"""Links that work in the repository work on the site too.

Pages link to each other and to files of the repository by relative paths, and so do the files that
they include (README.md, CHANGELOG.md, ...), relative to themselves. Here the paths become relative
to docs/: a link to a Markdown file with a page leads to that page, a link to any other file offers
it for download, and a link to a folder becomes plain text. So it is in the words of notebooks.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent

PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks/speed.md",
    "benchmarks/results/movielens-100k/analysis/summary.md": "benchmarks/analysis.md",
}
"""Files whose text is a page of docs/."""

TABLES = "benchmarks/tables.md"
"""The page with all summaries from benchmarks/results."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def rewrite(text: str, folder: Path) -> str:
    """`text` of a Markdown file in `folder`, with links as seen from docs/."""

    def link(match: re.Match[str]) -> str:
        image, words, target, anchor = match.groups(default="")
        if not image:
            words = LINK.sub(link, words)  # an image that is a link
        path = Path(os.path.normpath(folder / target))
        if ":" in target or target.startswith("/") or not path.exists():
            return f"{image}[{words}]({target}{anchor})"
        if path.is_dir():
            return words
        return f"{image}[{words}]({place(path)}{anchor})"

    return LINK.sub(link, text)


def rewrite_notebook(text: str, folder: Path) -> str:
    """The JSON `text` of a notebook in `folder`, with the links of its words rewritten."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = rewrite("".join(cell["source"]), folder)
    return json.dumps(notebook)


def place(path: Path) -> str:
    """The path by which pages of docs/ link to a file, from the root of docs/."""
    name = path.relative_to(ROOT).as_posix()
    if name in PAGES:
        return f"/{PAGES[name]}"
    if name.startswith("notebooks/") and name.endswith(".ipynb"):
        return f"/{name.removesuffix('.ipynb')}"  # a page of docs/notebooks, a link to that folder
    if name.startswith("benchmarks/results/") and name.endswith(".md"):
        return f"/{TABLES}"
    return f"/{os.path.relpath(path, DOCS)}"


def _page(app: Sphinx, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname)).resolve()
    change = rewrite_notebook if path.suffix == ".ipynb" else rewrite
    source[0] = change(source[0], path.parent)


def _included(app: Sphinx, path: Path, docname: str, source: list[str]) -> None:
    source[0] = rewrite(source[0], Path(os.path.normpath(DOCS / path)).parent)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _page)
    app.connect("include-read", _included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

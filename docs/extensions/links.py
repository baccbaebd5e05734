"""Dead links are warnings, and so errors: on the built site, and in files that GitHub shows.

Within the site every link and image must lead to a file, and its anchor to an element of it; only
the listings of source code, which Sphinx writes, may have dead ones. In README.md and its like,
links must lead to files of the repository, and anchors to headings. Nothing is fetched: an address
on the web needs only the form of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from extensions.repository_links import ROOT
from sphinx.application import Sphinx
from sphinx.util import logging

FILES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FILES += ("benchmarks/README.md", "examples/plugin/README.md")
"""What readers see in the repository; pages of the site are checked as they are built."""

_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
_HOST = re.compile(r"([\w-]+\.)+[a-z]{2,}|localhost")


class _Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {"", "top"}
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {name for key in ("id", "name") if (name := found.get(key))}
        target = found.get("href" if tag in {"a", "link"} else "src")
        if target is not None:
            self.links.append(target)


def dead_on_site(site: Path) -> Iterator[str]:
    """What is wrong with the links of the pages below `site`: ``page: link: reason``."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        if path.relative_to(site).parts[0] == "_modules":  # viewcode's: wrong for re-exported names
            continue
        for link in dict.fromkeys(page.links):
            if reason := _wrong(link, path, pages, site):
                yield f"{path.relative_to(site)}: {link}: {reason}"


def _wrong(link: str, path: Path, pages: dict[Path, _Page], site: Path) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return malformed(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file() or site.resolve() not in target.resolve().parents:
        return "no such file on the site"
    found = pages.get(target)
    if found and unquote(parts.fragment) not in found.anchors:
        return "no such anchor"
    return None


def malformed(address: str) -> str | None:
    """Why `address` cannot be one on the web; None if it can."""
    parts = urlsplit(address)
    if parts.scheme in {"data", "mailto"}:
        return None
    if parts.scheme not in {"http", "https"}:
        return "expected https://"
    return None if _HOST.fullmatch(parts.hostname or "") else "no host"


def dead_in_repository(root: Path) -> Iterator[str]:
    """What is wrong with the links of the files that GitHub shows: ``file: link: reason``."""
    for name in FILES:
        path = root / name
        for link in _LINK.findall(_CODE.sub("", path.read_text(encoding="utf-8"))):
            if reason := _wrong_in_repository(link, path):
                yield f"{name}: {link}: {reason}"


def _wrong_in_repository(link: str, path: Path) -> str | None:
    if urlsplit(link).scheme:
        return malformed(link)
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    if not target.exists():
        return "no such file in the repository"
    if anchor and target.suffix == ".md" and anchor not in headings(target):
        return "no such heading"
    return None


def slug(heading: str) -> str:
    """The anchor of a heading, on GitHub and on the site."""
    return re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")


def headings(path: Path) -> set[str]:
    """The anchors of all headings of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    return {slug(words) for words in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def _check(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.name != "html":
        return
    for line in (*dead_in_repository(ROOT), *dead_on_site(Path(app.outdir))):
        logging.getLogger(__name__).warning(line, type="links")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

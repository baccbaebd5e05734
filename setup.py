"""The long description: README.md with links that work wherever it is shown.

Everything else is in setup.cfg. Links of README.md are relative. They become absolute below the
address called Source in project_urls, at the tag of this version; without such an address their
text remains.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")


def long_description(text: str, source: str, version: str) -> str:
    """`text` with absolute links; `source` is the repository's address, or empty."""

    def absolute(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        if not source:
            return f"*{words}*" if image else words
        kind = "raw" if image else "blob"
        return f"{image}[{words}]({source.rstrip('/')}/{kind}/v{version}/{target})"

    return LINK.sub(absolute, text)


def _source() -> str:
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = settings.get("metadata", "project_urls", fallback="").splitlines()
    urls = dict(map(str.strip, line.split("=", 1)) for line in lines if "=" in line)
    return urls.get("Source", "")


def _version() -> str:
    text = (ROOT / "metaselector" / "common" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "(.+)"', text)
    assert found is not None
    return found[1]


if __name__ == "__main__":
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=long_description(readme, _source(), _version()),
        long_description_content_type="text/markdown",
    )

"""Dead links are found, on the site and in the repository; and the repository has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from extensions import links

from .conftest import ROOT


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages with every kind of link, all of them alive."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "a picture.png").touch()
    (tmp_path / "index.html").write_text(
        '<h1 id="top-of-it">A</h1> <a href="#top-of-it">a</a> <a href="#">b</a>'
        '<a href="deeper/page.html#sub%2Dsection">c</a> <img src="a%20picture.png?v=1">'
        '<a href="https://example.org/x#y">d</a> <img src="data:image/png;base64,AAAA">'
    )
    (tmp_path / "deeper" / "page.html").write_text(
        '<span id="sub-section"></span> <a href="../index.html">a</a> <a name="old"></a>'
        '<a href="../index.html#top-of-it">b</a> <a href="#old">c</a>'
    )
    return tmp_path


def test_a_site_without_dead_links(site: Path) -> None:
    assert not list(links.dead_on_site(site))


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ('<a href="gone.html">', "gone.html: no such file on the site"),
        ('<img src="gone.png">', "gone.png: no such file on the site"),
        ('<a href="../outside.html">', "../outside.html: no such file on the site"),
        ('<a href="deeper">', "deeper: no such file on the site"),
        ('<a href="#gone">', "#gone: no such anchor"),
        ('<a href="deeper/page.html#top-of-it">', "page.html#top-of-it: no such anchor"),
        ('<a href="https://no_host/x">', "https://no_host/x: no host"),
        ('<a href="htp://example.org">', "htp://example.org: expected https://"),
    ],
)
def test_a_dead_link_on_the_site(site: Path, tag: str, reason: str) -> None:
    (site / "outside.html").touch()
    inner = site / "inner"
    inner.mkdir()
    for path in [path for path in site.iterdir() if path.name not in {"inner", "outside.html"}]:
        path.rename(inner / path.name)
    page = inner / "index.html"
    page.write_text(page.read_text() + tag)
    (found,) = links.dead_on_site(inner)
    assert found.startswith("index.html: ")
    assert found.endswith(reason)


def test_the_repository_has_no_dead_links() -> None:
    assert not list(links.dead_in_repository(ROOT))


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("SECURITY.md", None),
        ("examples", None),
        ("SECURITY.md#a-heading", None),
        ("#here", None),
        ("https://example.org", None),
        ("GONE.md", "no such file in the repository"),
        ("SECURITY.md#gone", "no such heading"),
        ("#gone", "no such heading"),
        ("http:/example.org", "no host"),
    ],
)
def test_a_link_of_the_repository(tmp_path: Path, link: str, reason: str | None) -> None:
    for name in links.FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(
            "# A `heading`!\n`[code](is/no/link)`\n```\n[nor](this)\n```\n"
        )
    (tmp_path / "README.md").write_text(f"# Here\n[a link]({link})\n", encoding="utf-8")
    wanted = [] if reason is None else [f"README.md: {link}: {reason}"]
    assert list(links.dead_in_repository(tmp_path)) == wanted

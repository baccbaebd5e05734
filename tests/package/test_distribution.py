"""Wheel and sdist are sound, and the wheel works alone."""

from __future__ import annotations

import email
import json
import re
import runpy
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import metaselector

from .conftest import ROOT, run

TWO = runpy.run_path(str(ROOT / "setup.py"))["long_description"]
TEXT = "[a](b/c.md#d) ![x](y.png) [web](https://z) [here](#h) [![badge](i.svg)](https://z)"


def test_links_without_an_address_become_text() -> None:
    assert TWO(TEXT, "", "1") == "a *x* [web](https://z) [here](#h) [*badge*](https://z)"


def test_links_with_an_address_are_absolute() -> None:
    assert TWO(TEXT, "https://home/us/", "1.2") == (
        "[a](https://home/us/blob/v1.2/b/c.md#d) ![x](https://home/us/raw/v1.2/y.png) "
        "[web](https://z) [here](#h) [![badge](https://home/us/raw/v1.2/i.svg)](https://z)"
    )


def test_no_page_installs_from_an_index() -> None:
    """The project is on none, where a stranger could take its name."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    code = (ROOT / "metaselector").rglob("*.py")
    for page in [*pages, *code]:
        text = page.read_text("utf-8")
        found = re.findall(r"pip install [^\n`]*\bmetaselector\b|\bmetaselector\[[a-z]+\]", text)
        assert not found, page


@pytest.mark.slow
def test_twine_accepts_both(built: Path) -> None:
    files = sorted(built.iterdir())
    assert [path.name.removeprefix("metaselector-") for path in files] == [
        f"{metaselector.__version__}-py3-none-any.whl",
        f"{metaselector.__version__}.tar.gz",
    ]
    shown = run(sys.executable, "-m", "twine", "check", "--strict", *files)
    assert shown.count("PASSED") == 2


@pytest.mark.slow
def test_the_description_has_only_absolute_links(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        about = email.message_from_string(archive.read(name).decode())
    text = about.get_payload()
    assert text.startswith("# MetaSelector")
    assert about["Description-Content-Type"] == "text/markdown"
    assert not re.findall(r"\]\((?!https?://|#|mailto:)[^)]*\)", text)
    urls = about.get_all("Project-URL")
    assert any(url.startswith("Paper, https://doi.org/") for url in urls)


@pytest.mark.slow
def test_the_sdist_holds_what_builds_it(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= names
    assert "metaselector/py.typed" in names


@pytest.mark.slow
def test_the_wheel_works_alone(environment: Path, tmp_path: Path) -> None:
    where = "import metaselector, base_models; print(metaselector.__file__, base_models.__file__)"
    for file in run(environment / "python", "-c", where, cwd=tmp_path).split():
        assert Path(file).is_relative_to(environment.parent), file
    program = environment / "metaselector"
    assert run(program, "--version", cwd=tmp_path) == f"metaselector {metaselector.__version__}\n"
    listed = json.loads(run(program, "plugins", "--json", cwd=tmp_path))
    assert {"lr", "fm", "deepfm"} <= {each["name"] for each in listed}
    assert all("cannot be loaded" not in each["summary"] for each in listed)
    page = "from metaselector.report.page import write; print(bool(write))"
    assert run(environment / "python", "-c", page, cwd=tmp_path) == "True\n"

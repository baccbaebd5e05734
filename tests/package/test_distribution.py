"""Wheel and sdist are sound, and the wheel works alone."""

from __future__ import annotations

import email
import json
import os
import re
import runpy
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import metaselector

from .conftest import ROOT, run

TWO = runpy.run_path(str(ROOT / "setup.py"))["long_description"]
TEXTS = {".ipynb", ".md", ".py", ".toml", ".yaml"}
FROM_INDEX = re.compile(r"pip install [^\n`]*\bmetaselector\b|\bmetaselector\[[a-z]+\]")
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
    for folder in ("metaselector", "examples", "benchmarks", "notebooks"):
        pages += [page for page in (ROOT / folder).rglob("*") if page.suffix in TEXTS]
    assert {page.suffix for page in pages} >= TEXTS
    for page in pages:
        assert not FROM_INDEX.search(page.read_text("utf-8")), page


@pytest.mark.parametrize("extra", ["", "[spark]"])
def test_an_install_from_an_index_is_found(extra: str) -> None:
    assert FROM_INDEX.search(f"It needs `pip install 'metaselector{extra}'`.")
    assert FROM_INDEX.search(f"`pip install -c constraints.txt metaselector{extra}`")
    assert not FROM_INDEX.search(f"pip install -e .{extra}\nmetaselector plugins")


@pytest.mark.slow
def test_the_example_of_a_plugin_installs_without_an_index(
    environment: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(ROOT / "examples" / "plugin", tmp_path / "plugin")
    assert "pip install --no-deps -e .\n" in (source / "README.md").read_text("utf-8")
    pip = (sys.executable, "-m", "pip", "--python", environment / "python")
    offline = ("--no-index", "--no-build-isolation", "--target", tmp_path / "installed")
    run(*pip, "install", "-q", "--disable-pip-version-check", "--no-deps", *offline, source)
    program = "from metaselector.cli import main; main()"
    at = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    listed = run(environment / "python", "-c", program, "plugins", "--json", cwd=tmp_path, env=at)
    (taste,) = (each for each in json.loads(listed) if each["name"] == "taste")
    assert taste["source"] == "metaselector-taste 0.1.0"


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

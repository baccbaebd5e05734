"""``user.explore()`` in JupyterLab, in a real browser: what controls change, numbers follow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.data.public.atomic import read_atomic
from metaselector.inference.exploration import Exploration

pytestmark = pytest.mark.slow

CELL = """\
import pandas as pd
from metaselector import MetaSelector
history = pd.read_csv("history.csv")
candidates = pd.DataFrame({"item": ["i1", "i2"], "timestamp": 2_000_000_000})
user = MetaSelector.load("model").adapt(history)
user.explore(candidates)
"""
SETTINGS = {
    "LabApp": {"check_for_updates_class": "jupyterlab.NeverCheckForUpdate", "news_url": None},
    "ServerApp": {"allow_root": True, "open_browser": False, "port": 0},
}
NOTEBOOK = "explore.ipynb"
PATIENCE = 180.0
"""Seconds in which a server or a kernel must be up; the machine may be busy."""


@pytest.fixture(scope="module")
def folder(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a notebook, a saved model and a user's history."""
    folder = tmp_path_factory.mktemp("jupyter")
    raw = write_world(folder / "raw")
    models = {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 1}}}
    model = MetaSelector(models, selector={"epochs": 1}, meta_train={"epochs": 1}, threads=1)
    model.fit("movielens-100k", data=raw).save(folder / "model")
    rows = read_atomic(raw, "ml-100k").interactions.drop(columns="line")
    rows[rows["user"] == "u3"].iloc[:20].to_csv(folder / "history.csv", index=False)
    cell = {
        "cell_type": "code",
        "source": CELL,
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": [cell],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    (folder / NOTEBOOK).write_text(json.dumps(notebook))
    return folder


@pytest.fixture(scope="module")
def jupyter(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the notebook on a JupyterLab server."""
    pytest.importorskip("jupyterlab", reason="pip install -c constraints.txt -e '.[lab]' brings it")
    pytest.importorskip("ipywidgets", reason="make setup brings it")
    home = tmp_path_factory.mktemp("home")
    settings = home / "settings.json"
    settings.write_text(json.dumps(SETTINGS))
    places = {
        name: str(home / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")
    }
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", f"--config={settings}"],
            cwd=folder,
            env={**os.environ, **places, "JUPYTER_CONFIG_DIR": str(home), "HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    try:
        yield _address(server, home)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _address(server: subprocess.Popen[bytes], home: Path) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and server.poll() is None:
        for path in home.glob("jupyter_runtime_dir/jpserver-*.json"):
            try:
                found = json.loads(path.read_text())
                return f"{found['url']}doc/tree/{NOTEBOOK}?token={found['token']}"
            except json.JSONDecodeError:  # half written
                pass
        time.sleep(0.2)
    raise AssertionError(f"no server:\n{(home / 'log').read_text()}")


@pytest.fixture(scope="module")
def notebook(browser: Any, jupyter: str) -> Iterator[Any]:
    """The notebook after its cell has run; no error was reported when the tests end."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(jupyter)
    # A cell that runs before its kernel is there may show nothing.
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    page.locator(".jp-CodeCell .cm-content").click()
    page.keyboard.press("Shift+Enter")
    page.locator(".widget-html").wait_for()
    yield page
    context.close()
    assert problems == []


@pytest.fixture
def page(notebook: Any) -> Iterator[Any]:
    yield notebook
    notebook.locator("button", has_text="reset").click()


@pytest.fixture
def same(folder: Path) -> Exploration:
    """The same exploration in this process."""
    user = MetaSelector.load(folder / "model").adapt(pd.read_csv(folder / "history.csv"))
    return Exploration(user, pd.DataFrame({"item": ["i1", "i2"], "timestamp": 2_000_000_000}))


def shows(page: Any, same: Exploration) -> list[str]:
    """Wait until the page shows what `same` computes; return the column *moved*."""
    expect = pytest.importorskip("playwright.sync_api").expect
    steps, predictions = page.locator(".widget-html table").all()
    trace, expected = same.effect()
    now = predictions.locator("tbody td:nth-child(4)")
    expect(now).to_have_text([f"{p:.3f}" for p in expected["now"]], timeout=PATIENCE * 1000)
    expect(steps.locator("tbody tr")).to_have_count(len(trace))
    moved = [f"{m:+.3f}" for m in expected["now"] - expected["before"]]
    expect(predictions.locator("tbody td:nth-child(5)")).to_have_text(moved)
    return moved


def drag(page: Any, slider: str, value: int) -> None:
    readout = page.locator(".widget-slider", has_text=slider).locator(".widget-readout")
    readout.fill(str(value))
    readout.press("Enter")


def test_nothing_has_moved_at_first(page: Any, same: Exploration) -> None:
    assert shows(page, same) == ["+0.000", "+0.000"]
    assert page.locator(".widget-checkbox").count() == len(same.history) == 20
    row = page.locator(".widget-hbox", has=page.locator(".widget-toggle-button")).last
    assert row.evaluate("row => row.scrollHeight <= row.clientHeight")  # nothing is cut off


def test_a_row_is_removed(page: Any, same: Exploration) -> None:
    page.locator(".widget-checkbox input").first.uncheck()
    same.kept[same.history["timestamp"].argmax()] = False
    assert shows(page, same) != ["+0.000", "+0.000"]


def test_a_label_is_flipped(page: Any, same: Exploration) -> None:
    button = page.locator(".widget-toggle-button").first
    before = button.inner_text()
    button.click()
    same.turned[same.history["timestamp"].argmax()] = True
    assert shows(page, same) != ["+0.000", "+0.000"]
    assert {before, button.inner_text()} == {"positive", "negative"}


def test_sliders(page: Any, same: Exploration) -> None:
    same.support_size = 3
    drag(page, "support", 3)
    assert shows(page, same) != ["+0.000", "+0.000"]
    for steps in (4, 0):
        same.steps = steps
        drag(page, "steps", steps)
        moved = shows(page, same)
    assert moved != ["+0.000", "+0.000"]


def test_reset(page: Any, same: Exploration) -> None:
    page.locator(".widget-checkbox input").nth(3).uncheck()
    drag(page, "support", 2)
    page.locator("button", has_text="reset").click()
    assert shows(page, same) == ["+0.000", "+0.000"]

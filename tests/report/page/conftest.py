"""An evaluated run with hostile names, its page, and a browser to open it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metaselector.cli import main
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL
from metaselector.report.page.write import write_page
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.evaluate import evaluate
from metaselector.runs.stages.explore import explore
from metaselector.runs.stages.kept_headroom import add_headroom
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

USER = "</script><script>window.broken=1</script>\"'&amp;"
TITLE = "<img src=x onerror=window.broken=1> <!--<script> \u2028 & 'Film'"
SETTINGS = """
threads: 1
base_models:
  lr: {pretrain: {epochs: 1, weight_decay_rows: null}}
  fm: {pretrain: {epochs: 1, weight_decay_rows: null}}
adapt:
  {support_size: 5, half_lives: [2.0], time_decays: [], prior_rows: 0, learned_weights: false}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {epochs: 1}
evaluate: {resamples: 2}
"""

SIMPLE = {name: make for name, make in COMBINERS.items() if name not in OPTIONAL}
"""Combiners that take no time."""

Report = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def run(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("page")
    raw = write_world(folder / "raw")
    for file, pattern, hostile in (
        ("inter", r"(?m)^u3\t", f"{USER}\t"),
        ("user", r"(?m)^u3\t", f"{USER}\t"),
        ("item", r"\tFilm \d+\t", f"\t{TITLE}\t"),
    ):
        path = raw / f"ml-100k.{file}"
        text = re.sub(pattern, hostile, path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
    settings = folder / "settings.yaml"
    settings.write_text(SETTINGS)
    run = Run(folder / "run", load_config(settings))
    prepare_run(run, raw, folder)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", lambda: SIMPLE)
        evaluate(run, Silent())
    save_config(run)
    made_with = {"command": "metaselector reproduce", "data_sha256": run.dataset.digest()}
    (run.directory / "environment.json").write_text(json.dumps(made_with))
    return run


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Report:
    """The command; what it prints on either stream, and its exit code."""

    def called(*arguments: object) -> tuple[int, str]:
        given = ["metaselector", "report", *map(str, arguments), "--threads", "1"]
        monkeypatch.setattr(sys, "argv", given)
        with pytest.raises(SystemExit) as exited:
            main()
        return int(exited.value.code or 0), "".join(capfd.readouterr())

    return called


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file; when the test ends, there was no error and no request to elsewhere."""
    problems: list[str] = []
    contexts = []

    def asked(url: str) -> None:
        if not url.startswith(("file:", "data:")):
            problems.append(f"asked for {url}")

    def opened(path: Path, width: int = 1280, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_default_timeout(120_000)  # the machine may be busy
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked(request.url))
        page.goto(path.resolve().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="module")
def page_file(run: Run) -> Path:
    explore(run, Silent())
    add_headroom(run, Silent())
    path = run.directory.parent / "page.html"
    write_page([run.directory], path, {})
    return path

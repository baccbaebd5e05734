"""The examples of the page "Change one thing" run as they stand there, and change what it says."""

from __future__ import annotations

import functools
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

import metaselector
from metaselector.cli import main
from metaselector.data.encoded.schema import Schema
from metaselector.testing import check_base_model

from .conftest import DOCS, ROOT

PAGE = (DOCS / "change-one-thing.md").read_text(encoding="utf-8")
FILE = re.compile(r"```(?:python|yaml)\n# (\S+)\n.*?```", re.DOTALL)
COMMAND = re.compile(r"```sh\n(.*?)\n```", re.DOTALL)
MOST_LINES = 20
TINY = """
base_models:
  lr: {pretrain: {epochs: 1}}
  fm: {pretrain: {epochs: 1}}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {hidden_size: 4, epochs: 1}
evaluate: {resamples: 2}
threads: 1
"""


def parts() -> dict[str, str]:
    """The page by heading; what precedes the first one is under ``""``."""
    found = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return {"": found[0]} | dict(zip(found[1::2], found[2::2], strict=True))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, as in a clone, and all files of the page."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "tiny.yaml").write_text(TINY)
    for text in parts().values():
        for block in FILE.finditer(text):
            source = block[0].partition("\n")[2].removesuffix("```")
            (folder / block[1]).write_text(source, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _there(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work there, with few models and epochs, and without combiners."""
    monkeypatch.chdir(clone)
    small = functools.partial(metaselector.MetaSelector, config="tiny.yaml")
    monkeypatch.setattr(metaselector, "MetaSelector", small)
    monkeypatch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", dict)


def do(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the command of a section."""
    (command,) = COMMAND.findall(parts()[section])
    program, *words = shlex.split(command)
    if program == "python":
        runpy.run_path(words[0], run_name="__main__")
        return
    if words[0] == "reproduce":
        words += ["--config", "tiny.yaml"]
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(SystemExit) as exited:
        main()
    torch.set_num_threads(1)
    assert not exited.value.code


def results(run: str) -> pd.DataFrame:
    return pd.read_csv(Path("runs", run, "results.csv")).set_index("model")


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch, clone: Path) -> pd.DataFrame:
    """The table of the defaults, which the page runs first."""
    if not (clone / "runs" / "shop" / "results.csv").exists():
        do("", monkeypatch)
    return results("shop")


def test_each_is_short_and_complete() -> None:
    sections = {name: FILE.findall(text) for name, text in parts().items()}
    assert [len(files) for files in sections.values()] == [0, 1, 1, 1, 1, 1, 0]
    for block in FILE.finditer(PAGE):
        lines = [line for line in block[0].splitlines()[2:-1] if line.strip()]
        assert len(lines) <= MOST_LINES, block[1]


def test_the_model_is_one() -> None:
    check_base_model("popular.py:Popular")


@pytest.mark.slow
def test_a_model(defaults: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    do("A model", monkeypatch)
    assert set(results("shop-model").index) - set(defaults.index) == {"popular", "popular-train"}


@pytest.mark.slow
def test_a_feature(monkeypatch: pytest.MonkeyPatch) -> None:
    do("A feature", monkeypatch)
    schema = Schema.model_validate_json(
        Path("runs/shop-feature/data/schema.json").read_text(encoding="utf-8")
    )
    field = next(field for field in schema.fields if field.name == "weekend")
    assert set(field.vocabulary) == {"yes", "no"}


@pytest.mark.slow
def test_the_inner_rule(defaults: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    do("The inner rule", monkeypatch)
    changed = results("shop-rule")["logloss"] != defaults["logloss"]
    assert changed["metaselector"]
    assert not changed[["lr", "fm", "sample-selector"]].any()


@pytest.mark.slow
def test_a_metric(defaults: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    do("A metric", monkeypatch)
    found = results("shop")
    (column,) = set(found.columns) - set(defaults.columns)
    assert column == "brier"
    assert found["brier"].drop(["headroom", "chance"]).between(0, 1).all()


@pytest.mark.slow
def test_a_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    do("A data set", monkeypatch)
    assert set(results("mine")["dataset"]) == {"mine"}
    settings = yaml.safe_load(Path("runs/mine/config.yaml").read_text(encoding="utf-8"))
    assert settings["dataset"].endswith("mine.yaml")

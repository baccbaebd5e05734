"""Consent to run Python code that settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metaselector import MetaSelector
from metaselector.config import Config, load_config
from metaselector.config.plugins.consent import CodeNotAllowed, named_code
from metaselector.runs.tuning.search_space import load_space

NAMED = {
    "dataset": "dataset: mine.py:Mine",
    "base_models.x.model": "base_models: {x: {model: mine.py:Mine}}",
    "base_models.x.estimator": "base_models: {x: {estimator: mine.Mine}}",
    "base_models.x.options.model": (
        "base_models: {x: {estimator: fuxictr, options: {model: mine.Mine}}}"
    ),
    "base_models.x.options.steps": (
        "base_models: {x: {estimator: fuxictr, options: {steps: [[a, mine.py:Mine]]}}}"
    ),
    "selector.kind": "selector: {kind: mine.py:Mine}",
    "adapt.rule": "adapt: {rule: mine.py:Mine}",
    "evaluate.metrics": "evaluate: {metrics: [mine.py:Mine]}",
    "tracking": "tracking: [tensorboard, mine.py:Mine]",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.mark.parametrize("key", NAMED)
def test_code_in_a_file_needs_consent(file: Path, key: str) -> None:
    file.write_text(NAMED[key])
    problem = rf"config\.yaml: {key} names Python code, mine\.(py:)?Mine, .*--allow-code"
    with pytest.raises(CodeNotAllowed, match=problem):
        load_config(file)
    assert named_code(load_config(file, allow_code=True).model_dump(mode="json"))


def test_no_built_in_name_is_code(file: Path) -> None:
    assert named_code(Config().model_dump(mode="json")) == []
    file.write_text(
        "dataset: shop.data.yaml\n"
        "base_models: {x: {estimator: deepctr-torch, options: {model: DCN, rate: '0.5'}}, lr: {}}"
    )
    load_config(file)


def test_what_was_typed_may_run(file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = tmp_path / "mine.py"
    file.write_text(f"tracking: ['{absolute}:Mine']\nbase_models: {{x: {{estimator: a.B}}}}")
    dotted = ["base_models.x.estimator=a.B"]
    assert load_config(file, dotted, {"tracking": ["mine.py:Mine"]})  # the same file
    assert load_config(file, dotted, typed=["mine.py:Mine"])
    with pytest.raises(CodeNotAllowed, match="tracking names"):
        load_config(file, dotted)
    assert load_config(changes={"adapt": {"rule": "mine.py:Mine"}})


def test_from_python(file: Path) -> None:
    file.write_text(NAMED["adapt.rule"])
    with pytest.raises(CodeNotAllowed, match="allow_code=True in Python"):
        MetaSelector(config=file)
    with pytest.raises(CodeNotAllowed):
        MetaSelector.load(file.parent)
    config = MetaSelector(config=file, allow_code=True).config
    assert MetaSelector(config=config).config.adapt.rule == "mine.py:Mine"
    assert MetaSelector(selector={"kind": "mine.py:Mine"}).config.selector.kind == "mine.py:Mine"


def test_a_search_space_needs_consent_too(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("adapt.rule: {choices: [maml, mine.py:Mine]}")
    with pytest.raises(CodeNotAllowed, match=r"space\.yaml: adapt\.rule names"):
        load_space(space).probes(Config())
    assert load_space(space, allow_code=True).probes(Config())
    given = load_config(changes={"adapt": {"rule": "mine.py:Mine"}})
    assert load_space(space).probes(given)


def test_a_trial_may_not_put_code_together(tmp_path: Path) -> None:
    """Neither of two settings is code without the other."""
    space = tmp_path / "space.yaml"
    space.write_text("adapt.steps: {low: 1, high: 2}")
    start = load_config(changes={"base_models": {"x": {"model": "lr"}}})
    changes = {
        "base_models.x.model": None,
        "base_models.x.estimator": "fuxictr",
        "base_models.x.options.model": "mine.Mine",
    }
    with pytest.raises(CodeNotAllowed):
        load_space(space).change(start, changes)

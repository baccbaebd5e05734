"""The references that the site generates are whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from extensions import (
    command_reference,
    reliability,
    repository_links,
    results,
    settings_reference,
)

from metaselector.config import Config, load_config

from .conftest import ROOT
from .test_pages import commands

SETTINGS = {line.key: line for _, lines in settings_reference.sections() for line in lines}


def leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name; a base model's are called ``<name>``."""
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if key == "base_models":
            yield from leaves({"<name>": value["lr"]}, f"{name}.")
        elif isinstance(value, dict) and not name.endswith((".options", "_weights", "_rates")):
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


def test_every_setting_is_there_with_its_default() -> None:
    scores = {"base_models": {"lr": {"scores": {"file": "a.csv"}}}}
    found = dict(leaves(Config().model_dump(mode="json")))
    del found["base_models.<name>.scores"]
    found |= {
        key: value
        for key, value in leaves(load_config(changes=scores).model_dump(mode="json"))
        if ".scores." in key
    }
    assert found.keys() == SETTINGS.keys()
    own = {"scores.file", "pretrain.weight_decay", "pretrain.weight_decay_rows"}
    own = {f"base_models.<name>.{key}" for key in own}
    for key in SETTINGS.keys() - own:  # a file is required; lr has weight decay of its own
        assert yaml.safe_load(SETTINGS[key].default.strip("`")) == found[key], key


def test_every_setting_says_what_it_is() -> None:
    assert all(line.meaning for line in SETTINGS.values())


def test_the_page_has_a_line_for_each() -> None:
    page = settings_reference.markdown()
    assert all(f"| [`{key}`]{{#setting-" in page for key in SETTINGS)
    assert "shell-style patterns of the parameters that adapt, such as selector.\\*" in page
    assert "whole number > 0, < 100" in page


def test_every_command_and_option_is_there() -> None:
    parts = re.split(r"^## `metaselector (.*)`$", command_reference.markdown(), flags=re.MULTILINE)
    by_command = dict(zip(parts[1::2], parts[2::2], strict=True))
    for command, options in commands().items():
        if command:
            assert all(f"`{option}" in by_command[command] for option in options), command
    assert "runs/\\<dataset>" in by_command["evaluate"]


def test_every_table_of_results_has_its_command() -> None:
    folder = ROOT / "benchmarks" / "results"
    page = results.results(folder)
    sections = page.split("\n### ")
    found = results.summaries(folder)
    assert len(sections) == len(found) >= 10
    for section in sections:
        assert "`python -m benchmarks." in section or "Command: `metaselector " in section
        assert re.search(r"^\| ?---", section, flags=re.MULTILINE)


def test_figures_of_speed_are_those_of_the_files() -> None:
    path = ROOT / "benchmarks" / "results" / "speed" / "engine.json"
    page, measured = results.speeds(path.parent), json.loads(path.read_text(encoding="utf-8"))
    assert f"Command: `{measured['command']}`" in page
    assert f"| `speedup_1m` | {measured['speedup_1m']:,.0f} |" in page
    assert f"| `flatness` | {measured['flatness']:.3g} |" in page
    several = json.loads(path.with_name("run.json").read_text(encoding="utf-8"))
    of_users = several["predict_users"]["one_call_seconds"]
    assert "### Predict users" in page
    assert f"| `one_call_seconds` | {of_users:.3g} |" in page


def test_figures_of_reliability_are_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reliability, "ROOT", tmp_path)
    assert reliability.reliability(tmp_path) == "*Not measured yet; run `make fuzz`.*"
    figures = {"tried": 1234, "success": 1000, "refused": 234, "findings": 0}
    figures |= {"worst_seconds": 0.5, "worst_mb": 7}
    group = {**figures, "seed": 0, "date": "2026-01-01", "minutes": 2.0, "targets": {"x": figures}}
    made = {
        "inputs": group,
        "machine": {"processor": "A processor", "cores": 2},
        "versions": {"python": "3.11"},
    }
    (tmp_path / "fuzz.json").write_text(json.dumps(made), encoding="utf-8")
    page = reliability.reliability(tmp_path)
    assert "| inputs | 1,234 | 1,000 | 234 | 0 | 0.5 | 7 |" in page
    assert "| x | 1,234 | 1,000 | 234 | 0 | 0.5 | 7 |" in page
    assert "inputs: 2026-01-01, seed 0, 2 minutes; A processor, 2 cores; python 3.11." in page
    assert "[fuzz.json](/../fuzz.json)" in page


def test_links_of_other_files_lead_to_pages() -> None:
    text = (
        "[a](CONTRIBUTING.md) [b](benchmarks/README.md#x) [c](docs/how-to/data.md) [d](examples)\n"
        "![e](benchmarks/results/movielens-100k/figures/comparison.png) [f](https://x.org/a)\n"
        "[g](benchmarks/results/transfer/transfer.md) [h](setup.cfg) call[i](j)\n"
        "[k](notebooks/06-several-tasks.ipynb) [l](notebooks/short.yaml)"
    )
    assert repository_links.rewrite(text, ROOT) == (
        "[a](/contributing.md) [b](/benchmarks/speed.md#x) [c](/how-to/data.md) d\n"
        "![e](/../benchmarks/results/movielens-100k/figures/comparison.png) [f](https://x.org/a)\n"
        "[g](/benchmarks/tables.md) [h](/../setup.cfg) call[i](j)\n"
        "[k](/notebooks/06-several-tasks) [l](/../notebooks/short.yaml)"
    )


def test_links_of_notebooks_lead_to_pages() -> None:
    code = {"cell_type": "code", "source": ["# [a](../docs/how-to/data.md)"]}
    words = {"cell_type": "markdown", "source": ["See [several\n", "tasks](../docs/protocol.md)."]}
    text = json.dumps({"cells": [code, words], "nbformat": 4})
    found = json.loads(repository_links.rewrite_notebook(text, ROOT / "notebooks"))
    assert found["cells"][0] == code
    assert found["cells"][1]["source"] == "See [several\ntasks](/protocol.md)."

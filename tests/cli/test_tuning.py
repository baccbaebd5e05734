"""Searching settings with Optuna."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from .conftest import Invoke, contents

SPACE = "meta_train.outer_lr_phi: {low: 0.0001, high: 0.01, log: true}\n"


def test_settings_are_tuned(invoke: Invoke, prepared: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    before = contents(prepared)
    done = invoke("tune", "--run", prepared, "--space", space, "--trials", 2)
    assert done.code == 0, done.err
    chosen = prepared / "tune" / "metaselector.yaml"
    assert re.match(r"valid logloss 0\.\d{4} in trial [01], the best of 2; 0\.\d{4} with", done.out)
    assert done.out.endswith(f"{chosen}\n{chosen.with_suffix('.csv')}\n")
    assert f"tune --run {prepared} --space {space} --trials 2\n" in chosen.read_text()
    after = contents(prepared)
    assert all(after[name] == content for name, content in before.items())
    again = ("tune", "--run", prepared, "--space", space, "--trials", 2, "--json", "--quiet")
    found = json.loads(invoke(*again).out)
    best, before_tuning = f"{found['best']:.4f}", f"{found['before']:.4f}"
    assert f"logloss {best} in trial {found['trial']}, the best of {found['trials']}" in done.out
    assert f"; {before_tuning} with" in done.out
    assert found["target"] == "metaselector"
    assert found["chosen"].keys() == {"meta_train.outer_lr_phi"}
    assert found["files"] == [str(chosen), str(chosen.with_suffix(".csv"))]
    assert invoke("meta-train", "--run", prepared, "--config", chosen).code == 0


def test_tuning_without_optuna(
    invoke: Invoke, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "metaselector.runs.tuning.search", raising=False)
    error = invoke("tune", "--run", prepared, "--space", tmp_path / "space.yaml").lone_error
    assert error == (
        "tuning needs Optuna, but the module optuna is not installed; run pip install 'optuna>=5'"
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, (), "{space}: cannot be read"),
        ("adapt.step: {low: 1, high: 2}", (), "{space}: adapt.step: unknown setting; did you mean"),
        (
            SPACE,
            ("--target", "metaselektor"),
            "--target metaselektor: unknown target; did",
        ),
        (SPACE, ("--target", "fm"), "{space}: meta_train.outer_lr_phi: changes nothing for"),
    ],
)
def test_what_cannot_be_tuned(
    invoke: Invoke,
    prepared: Path,
    tmp_path: Path,
    text: str | None,
    options: tuple[str, ...],
    message: str,
) -> None:
    space = tmp_path / "space.yaml"
    if text is not None:
        space.write_text(text)
    before = contents(prepared)
    error = invoke("tune", "--run", prepared, "--space", space, *options).lone_error
    assert error.startswith(message.format(space=space))
    assert contents(prepared) == before

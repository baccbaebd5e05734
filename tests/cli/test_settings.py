"""Settings and plug-ins: what is listed, and mistakes told in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .conftest import Invoke, contents, prepare

POPULARITY = Path(__file__).parents[2] / "examples" / "popularity.py"


def test_settings_are_printed(invoke: Invoke, settings: Path) -> None:
    done = invoke("config", "--config", settings, "--set", "adapt.steps=3")
    assert done.code == 0
    assert "steps: 3  # inner gradient steps" in done.out
    assert "deepfm" not in done.out


def test_former_names_of_settings_are_noted_once(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --run, the file is read once to name the run and once to open it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text("adapt: {theta_rate: 0.25}\n")
    done = invoke("pretrain", "--config", "old.yaml")
    assert "no prepared data" in done.error
    note = "note: old.yaml: settings were renamed: adapt.theta_rate is now adapt.inner_lr_theta"
    assert done.err.splitlines()[:-1] == [note]


def test_plugins_are_listed(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """As plain text, one line each, however narrow the terminal."""
    monkeypatch.setenv("COLUMNS", "20")
    done = invoke("plugins", "--set", f"base_models.mine.model={POPULARITY}:Popularity")
    assert done.code == 0
    lines = [re.split(r" {2,}", line.strip()) for line in done.out.splitlines()]
    found = {tuple(line[:2]): line[2:] for line in lines if len(line) >= 4}
    assert found["base model", "fm"][:2] == [
        "built in",
        "Second-order factorization machine (Rendle, ICDM 2010, Eq. 1).",
    ]
    assert found["base model", "mine"][0].startswith(str(POPULARITY.parent))
    for kind in (("selector", "gated"), ("inner rule", "maml"), ("metric", "auc")):
        assert found[kind][0] == "built in"
    assert ("dataset", "movielens-100k") in found
    assert "`" not in done.out
    listed = json.loads(invoke("plugins", "--json").out)
    assert {"base model", "metric"} <= {plugin["kind"] for plugin in listed}
    assert all(plugin.keys() == {"kind", "name", "source", "summary"} for plugin in listed)


@pytest.mark.parametrize(
    "command", [("data", "prepare"), ("pretrain",), ("meta-train",), ("evaluate",), ("reproduce",)]
)
def test_unknown_key(invoke: Invoke, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = invoke(*command, "--run", tmp_path / "run", "--set", "adapt.step=3")
    assert done.lone_error == "adapt.step: unknown setting; did you mean 'steps'?"
    assert not (tmp_path / "run").exists()


def test_unknown_key_in_a_file(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("base_models: {fm: {pretrain: {epoch: 3}}}\n")
    done = invoke("reproduce", "--run", tmp_path / "run", "--config", path)
    assert "base_models.fm.pretrain.epoch: unknown setting" in done.lone_error
    assert "'epochs'" in done.lone_error


def test_unknown_dataset(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    done = prepare(invoke, raw, tmp_path / "run", "--dataset", "movielens-10k")
    assert "did you mean 'movielens-100k'?" in done.lone_error
    assert not (tmp_path / "run").exists()


def test_unknown_base_model(invoke: Invoke, prepared: Path) -> None:
    before = contents(prepared)
    done = invoke("pretrain", "--run", prepared, "--set", "base_models.depfm={}")
    assert "unknown base model 'depfm'; did you mean 'deepfm'?" in done.error
    assert "config.yaml" in before
    assert contents(prepared)["config.yaml"] == before["config.yaml"]


def test_device_that_is_not_there(invoke: Invoke, prepared: Path) -> None:
    error = invoke("pretrain", "--run", prepared, "--device", "quantum").lone_error
    assert error.startswith("device 'quantum' cannot be used here")


@pytest.mark.parametrize(
    "command",
    [
        ("data", "describe", "--data", "{}"),
        ("data", "prepare", "--data", "{}"),
        ("pretrain", "--run", "{}"),
        ("report", "{}"),
        ("config", "--config", "{}"),
        ("predict", "--run", "{}", "--history", "{}", "--candidates", "{}", "--output", "{}.csv"),
    ],
    ids=" ".join,
)
def test_a_name_that_is_too_long(invoke: Invoke, command: tuple[str, ...]) -> None:
    done = invoke(*(word.format("n" * 300) for word in command))
    assert "too long" in done.error

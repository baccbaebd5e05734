"""The shared options: their settings, and the workers that one of them starts."""

from __future__ import annotations

from typing import Any

import pytest

from metaselector.cli import options
from metaselector.cli.declare import SharedOption
from metaselector.cli.training import TRANSFER
from metaselector.config import Config, change_config

from .conftest import Invoke

SETTINGS = [
    option
    for option in (*vars(options).values(), *TRANSFER)
    if isinstance(option, SharedOption) and option.key is not None
]


@pytest.mark.parametrize("entry", SETTINGS, ids=lambda entry: entry.key)
def test_keys_are_settings(entry: SharedOption) -> None:
    assert entry.key is not None
    settings: Any = Config().model_dump(mode="json")
    for part in entry.key.split("."):
        assert part in settings
        settings = settings[part]
    change_config(Config(), {entry.key: settings})


@pytest.mark.parametrize("given", [["--workers", "2"], ["--workers=2"], ["--workers=+2"]])
def test_workers_get_the_whole_command_line(
    given: list[str], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []
    monkeypatch.setattr(
        "metaselector.training.distributed.launch.launch",
        lambda arguments, workers: launched.append((arguments, workers)) or 0,
    )
    assert invoke("evaluate", *given, "--run", "x").code == 0
    assert launched == [(("evaluate", *given, "--run", "x"), 2)]


def test_a_worker_starts_no_workers(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("metaselector.training.distributed.launch.launch", pytest.fail)
    assert "unknown setting" in invoke("evaluate", "--workers", "2", "--set", "x=1").lone_error

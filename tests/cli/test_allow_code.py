"""What a run or a configuration names runs only if the user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Invoke

COMMANDS: dict[str, list[str]] = {
    "evaluate": ["--run", "RUN"],
    "analyse": ["--run", "RUN"],
    "headroom": ["--run", "RUN"],
    "meta-train": ["--run", "RUN"],
    "pretrain": ["--run", "RUN", "--resume"],
    "reproduce": ["--run", "RUN", "--resume"],
    "tune": ["--run", "RUN", "--space", "SPACE"],
    "predict": ["--run", "RUN", "--history", "h.csv", "--candidates", "c.csv"],
    "explain": ["--run", "RUN", "--user", "u"],
    "report": ["RUN"],
    "plugins": ["--config", "RUN/config.yaml"],
    "data prepare": ["--config", "RUN/config.yaml"],
    "data describe": ["--config", "RUN/config.yaml"],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that somebody else has made, whose code leaves a trace."""
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "results.csv").write_text("model,auc\n")
    (directory / "mine.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nclass Mine: pass\n"
    )
    (directory / "config.yaml").write_text(
        f"base_models: {{mine: {{model: '{directory}/mine.py:Mine'}}}}\n"
    )
    return directory


@pytest.mark.parametrize("command", COMMANDS)
def test_no_code_runs_unasked(invoke: Invoke, run: Path, tmp_path: Path, command: str) -> None:
    given = [text.replace("RUN", str(run)) for text in COMMANDS[command]]
    (tmp_path / "SPACE").write_text("adapt.steps: {low: 1, high: 2}\n")
    given = [str(tmp_path / text) if text == "SPACE" else text for text in given]
    error = invoke(*command.split(), *given).lone_error
    named = f"config.yaml: base_models.mine.model names Python code, {run}/mine.py:Mine"
    assert named in error
    assert "--allow-code" in error
    assert not (run / "ran").exists()


def test_with_consent_it_runs(invoke: Invoke, run: Path) -> None:
    assert invoke("plugins", "--config", run / "config.yaml", "--allow-code").code == 0
    assert (run / "ran").exists()


def test_what_was_typed_runs(invoke: Invoke, run: Path) -> None:
    typed = f"base_models.mine.model={run}/mine.py:Mine"
    assert invoke("plugins", "--config", run / "config.yaml", "--set", typed).code == 0
    assert (run / "ran").exists()


def test_settings_are_shown_without_running_anything(invoke: Invoke, run: Path) -> None:
    assert "mine.py:Mine" in invoke("config", "--config", run / "config.yaml").out
    assert not (run / "ran").exists()

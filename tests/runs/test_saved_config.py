"""The ``config.yaml`` of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.config import load_config
from metaselector.runs.run import CONFIG, Run
from metaselector.runs.saved_config import kept_config, save_config


@pytest.mark.parametrize("problem", [UserError("no"), OSError("no"), MemoryError()])
@pytest.mark.parametrize("first", [True, False])
def test_settings_of_failed_work_are_undone(
    tmp_path: Path, problem: Exception, first: bool
) -> None:
    path = tmp_path / CONFIG
    if not first:
        save_config(Run(tmp_path, load_config()))
    before = None if first else path.read_text()
    other = Run(tmp_path, load_config(overrides=["transfer.init_from=nowhere"]))
    with pytest.raises(type(problem)), kept_config(other):
        raise problem
    assert (path.read_text() if path.exists() else None) == before


def test_settings_of_interrupted_work_stay(tmp_path: Path) -> None:
    run = Run(tmp_path, load_config(overrides=["adapt.steps=1"]))
    with pytest.raises(KeyboardInterrupt), kept_config(run):
        raise KeyboardInterrupt
    assert load_config(tmp_path / CONFIG).adapt.steps == 1

"""What a run finds in its directory, and in that of its parent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.config import change_config, load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run


@pytest.fixture(scope="module")
def prepared(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    run = Run(folder / "run", load_config())
    prepare_run(run, write_world(folder / "raw"), folder)
    return run


def test_a_run_uses_the_data_and_base_models_of_its_parent(prepared: Run, tmp_path: Path) -> None:
    run = Run(tmp_path, prepared.config, parent=prepared.directory)
    assert run.dataset.digest() == prepared.dataset.digest()
    base, _ = run.checkpoints.base_file("fm", "train", 0)
    learned, _ = run.checkpoints.learned_file("metaselector", 0)
    assert base == prepared.checkpoints.base_file("fm", "train", 0)[0]
    assert learned == tmp_path / "checkpoints" / "seed-0" / "metaselector.safetensors"


def test_data_prepared_with_different_settings_is_refused(prepared: Run, tmp_path: Path) -> None:
    assert prepared.is_prepared
    assert not Run(tmp_path, prepared.config).is_prepared
    other = Run(prepared.directory, change_config(prepared.config, {"data.history_length": 7}))
    assert not other.is_prepared
    with pytest.raises(CheckpointError, match=r"prepared with data\.history_length=\d+, .* 7"):
        assert other.checkpoints


def test_data_prepared_with_another_minimum_are_refused(prepared: Run) -> None:
    other = Run(prepared.directory, change_config(prepared.config, {"data.min_user_rows": 3}))
    with pytest.raises(CheckpointError, match=r"prepared with data\.min_user_rows=1, .* has 3"):
        assert other.dataset


def test_a_run_cannot_start_from_itself(prepared: Run) -> None:
    changes = {"transfer.init_from": str(prepared.directory)}
    run = Run(prepared.directory, change_config(prepared.config, changes))
    with pytest.raises(ConfigError, match="is this run itself"):
        assert run.source

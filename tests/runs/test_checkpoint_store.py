"""Files and memory as stores of trained parts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from metaselector.common.errors import CheckpointError
from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig
from metaselector.runs.checkpoint_store import CheckpointStore, FileStore, MemoryStore
from metaselector.training.loop.snapshot import Snapshot

SETTINGS = {"seed": 0}
RECORD = {"epochs": 2, "history": [{"epoch": 1, "valid_loss": 0.5}]}
KEY = {"seed": 0, "model": "fm", "window": "train"}


@pytest.fixture(params=[FileStore, MemoryStore])
def store(request: pytest.FixtureRequest) -> CheckpointStore:
    found: CheckpointStore = request.param()
    return found


def test_what_is_saved_is_found_again(store: CheckpointStore, tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    assert not store.matches(path, SETTINGS)
    with pytest.raises(CheckpointError, match="checkpoint not found"):
        store.load(path, SETTINGS)
    store.save(path, {"weight": torch.arange(3.0)}, SETTINGS, RECORD)
    assert store.matches(path, SETTINGS)
    tensors, record = store.load(path, SETTINGS)
    assert torch.equal(tensors["weight"], torch.arange(3.0))
    assert record == RECORD


def test_memory_reads_files_and_writes_none(tmp_path: Path) -> None:
    path, store = tmp_path / "part.safetensors", MemoryStore()
    FileStore().save(path, {"weight": torch.zeros(1)}, SETTINGS, RECORD)
    before = path.read_bytes()
    assert store.load(path, SETTINGS)[0]["weight"].item() == 0
    with pytest.raises(CheckpointError, match="seed was 0, now 1"):
        store.load(path, {"seed": 1})
    store.save(path, {"weight": torch.ones(1)}, SETTINGS, RECORD)
    store.save_lines(tmp_path / "transfer.csv", KEY, [{"rows": 1}])
    store.snapshots(path, SETTINGS, CheckpointConfig()).keep(1, Snapshot({}, {}))
    assert store.load(path, SETTINGS)[0]["weight"].item() == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_snapshots_lie_beside_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    snapshots = FileStore().snapshots(path, SETTINGS, CheckpointConfig())
    snapshots.keep(7, Snapshot({"weight": torch.ones(1)}, {}))
    (kept,) = (tmp_path / "part.unfinished").iterdir()
    assert snapshots.newest() == kept
    found = snapshots.load(Silent())
    assert found is not None
    assert found.tensors["weight"].item() == 1


def test_lines_replace_those_with_the_same_key(tmp_path: Path) -> None:
    path, store = tmp_path / "transfer.csv", FileStore()
    store.save_lines(path, KEY, [{"rows": 1}, {"rows": 2}])
    store.save_lines(path, KEY | {"model": "null"}, [{"rows": 3}])  # a name, not a missing value
    store.save_lines(path, KEY, [{"rows": 4}])
    table = pd.read_csv(path, keep_default_na=False)
    assert table[["model", "rows"]].to_numpy().tolist() == [["null", 3], ["fm", 4]]

"""Snapshots on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig
from metaselector.training.loop import snapshot_manager as module
from metaselector.training.loop.snapshot import Snapshot
from metaselector.training.loop.snapshot_manager import SnapshotDirectory


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def make(directory: Path, settings: Any = None, **config: Any) -> SnapshotDirectory:
    return SnapshotDirectory(directory, settings or {"seed": 1}, CheckpointConfig(**config))


def snapshot(number: float) -> Snapshot:
    return Snapshot({"x": torch.tensor([number])}, {"position": {"epoch": int(number)}})


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_newest_few_are_kept(tmp_path: Path) -> None:
    snapshots = make(tmp_path / "x", keep=3)
    for number in (1, 2, 10, 11):
        snapshots.keep(number, snapshot(number))
    assert [int(name[:9]) for name in names(tmp_path / "x")] == [2, 10, 11]
    found = make(tmp_path / "x").load(Silent())
    assert found is not None
    assert torch.equal(found.tensors["x"], torch.tensor([11.0]))


def test_nothing_was_kept(tmp_path: Path) -> None:
    snapshots = make(tmp_path / "x")
    assert snapshots.load(Silent()) is None
    assert snapshots.newest() is None
    snapshots.clear()


@pytest.mark.parametrize("damage", ["truncated", "a bit", "empty"])
def test_of_a_damaged_one_the_one_before_is_used(tmp_path: Path, damage: str) -> None:
    snapshots = make(tmp_path / "x")
    for number in (1, 2):
        path = snapshots.keep(number, snapshot(number))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes({"truncated": content[:-9], "a bit": content, "empty": b""}[damage])
    notes = Notes()
    found = snapshots.load(notes)
    assert found is not None
    assert found.position.epoch == 1
    assert notes.texts[0].startswith(f"{path}: damaged or not a MetaSelector checkpoint (")
    assert "trying the previous one" in notes.texts[0]
    assert len(names(tmp_path / "x")) == 1


def test_other_settings_start_from_the_beginning(tmp_path: Path) -> None:
    make(tmp_path / "x").keep(1, snapshot(1))
    notes = Notes()
    assert make(tmp_path / "x", {"seed": 2}).load(notes) is None
    assert "seed was 1, now 2; training starts from the beginning" in notes.texts[0]
    assert not (tmp_path / "x").exists()


def test_only_what_is_left_of_the_same_training_is_removed(tmp_path: Path) -> None:
    for number in (1, 2):
        path = make(tmp_path / "x").keep(number, snapshot(number))
    make(tmp_path / "x", {"seed": 2}).clear_left_over()
    assert len(names(tmp_path / "x")) == 2
    content = path.read_bytes()
    path.write_bytes(b"")
    make(tmp_path / "x").clear_left_over()
    assert len(names(tmp_path / "x")) == 2  # settings that nobody can read
    path.write_bytes(content)
    make(tmp_path / "x").clear_left_over()
    assert not (tmp_path / "x").exists()
    make(tmp_path / "x").clear_left_over()


def test_when_it_is_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    snapshots = make(tmp_path / "x", seconds=60, steps=7)
    assert [n for n in range(1, 20) if snapshots.due(n)] == [7, 14]
    now[0] = 60.0
    assert snapshots.due(1)

    def slow(*_: Any) -> None:
        now[0] += 30.0  # writing took this long: 5 % of 600 seconds

    monkeypatch.setattr(module.WholeFiles, "save", slow)
    (tmp_path / "x").mkdir()
    snapshots.keep(1, snapshot(1))
    now[0] += 599.0
    assert not snapshots.due(1)
    now[0] += 1.0
    assert snapshots.due(1)


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    snapshots = make(tmp_path, keep=1)
    for number in (1, 2):
        snapshots.keep(number, snapshot(number))
    assert names(tmp_path) == ["000000002.safetensors", "notes.txt"]

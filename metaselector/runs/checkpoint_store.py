"""Where a run's trained parts are kept: in files, or in memory while a trial of tuning lasts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from torch import Tensor

from metaselector.common.files import write_text
from metaselector.config.training import CheckpointConfig
from metaselector.training.checkpoint import (
    CheckpointFiles,
    WholeFiles,
    load_checkpoint,
    matches,
)
from metaselector.training.loop.snapshot_manager import (
    NullSnapshotManager,
    SnapshotDirectory,
    SnapshotManager,
)

UNFINISHED = ".unfinished"
"""Suffix of a training's directory of snapshots, which lies beside its future checkpoint."""

Tensors = Mapping[str, Tensor]
Settings = Mapping[str, Any]
Record = Mapping[str, Any]


class CheckpointStore(Protocol):
    """Saves and loads checkpoints, each under a path and with the settings it was trained with.

    Attributes:
        collective: whether all workers must call :meth:`save`; otherwise the first one does.
    """

    @property
    def collective(self) -> bool: ...

    def save(self, path: Path, tensors: Tensors, settings: Settings, record: Record) -> None:
        """Keep `tensors` and the `record` of their training; replaces what is there."""

    def load(self, path: Path, settings: Settings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and record.

        Raises:
            CheckpointError: the checkpoint is missing or damaged, or was trained with different
                settings.
        """

    def record(self, path: Path, settings: Settings) -> dict[str, Any]:
        """Return the record alone; raises what :meth:`load` raises."""

    def matches(self, path: Path, settings: Settings) -> bool:
        """Return whether :meth:`load` would find an intact checkpoint with these settings."""

    def snapshots(
        self, path: Path, settings: Settings, config: CheckpointConfig
    ) -> SnapshotManager:
        """Return where the training that will write `path` keeps its snapshots."""

    def save_lines(self, path: Path, key: Mapping[str, Any], lines: Sequence[Settings]) -> None:
        """Write `lines` of a CSV table, each under `key`; replaces the lines with the same key."""


class FileStore:
    """Checkpoints as safetensors files, with a directory of snapshots beside each.

    Args:
        files: how they are written and read; by default with whole tables.
    """

    def __init__(self, files: CheckpointFiles | None = None) -> None:
        self._files = files or WholeFiles()

    @property
    def collective(self) -> bool:
        return self._files.collective

    def save(self, path: Path, tensors: Tensors, settings: Settings, record: Record) -> None:
        self._files.save(path, tensors, settings, record)

    def load(self, path: Path, settings: Settings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return load_checkpoint(path, settings, self._files.read)

    def record(self, path: Path, settings: Settings) -> dict[str, Any]:
        return load_checkpoint(path, settings, self._files.read_record)[1]

    def matches(self, path: Path, settings: Settings) -> bool:
        return matches(path, settings, self._files.read_record)

    def snapshots(
        self, path: Path, settings: Settings, config: CheckpointConfig
    ) -> SnapshotManager:
        return SnapshotDirectory(path.with_suffix(UNFINISHED), settings, config, self._files)

    def save_lines(self, path: Path, key: Mapping[str, Any], lines: Sequence[Settings]) -> None:
        table = pd.DataFrame([{**key, **line} for line in lines])
        if path.exists():
            kept = pd.read_csv(path, dtype={"model": "str"}, keep_default_na=False)
            same = (kept[list(key)] == pd.Series(dict(key))).all(axis=1)
            table = pd.concat([kept[~same], table])
        write_text(path, table.to_csv(index=False))


class MemoryStore:
    """Writes no file: saves in memory, and reads from disk what it has not saved itself.

    It serves one set of settings only, since it looks up what it saved by path.
    """

    collective = False

    def __init__(self) -> None:
        self._files = FileStore()
        self._saved: dict[Path, tuple[dict[str, Tensor], dict[str, Any]]] = {}

    def save(self, path: Path, tensors: Tensors, settings: Settings, record: Record) -> None:
        self._saved[path] = dict(tensors), dict(record)

    def load(self, path: Path, settings: Settings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self._saved[path] if path in self._saved else self._files.load(path, settings)

    def record(self, path: Path, settings: Settings) -> dict[str, Any]:
        return self.load(path, settings)[1]

    def matches(self, path: Path, settings: Settings) -> bool:
        return path in self._saved or self._files.matches(path, settings)

    def snapshots(
        self, path: Path, settings: Settings, config: CheckpointConfig
    ) -> SnapshotManager:
        return NullSnapshotManager()

    def save_lines(self, path: Path, key: Mapping[str, Any], lines: Sequence[Settings]) -> None:
        pass

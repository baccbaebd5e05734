"""Where snapshots of an unfinished training are kept."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from metaselector.common.errors import DamagedError
from metaselector.common.progress import Progress
from metaselector.config.training import CheckpointConfig
from metaselector.training.checkpoint import first_difference, read_checkpoint, save_checkpoint
from metaselector.training.distributed import workers
from metaselector.training.loop.snapshot import Snapshot

MOST_TIME = 0.05
"""The share of the training's time that keeping snapshots may take."""


class SnapshotManager(Protocol):
    """Keeps snapshots."""

    def load(self, progress: Progress) -> Snapshot | None:
        """The newest one that is whole, if there is one; says so where another one is not."""

    def newest(self) -> Path | None:
        """The file of the newest one."""

    def due(self, global_step: int) -> bool:
        """Whether it is time for another one."""

    def keep(self, global_step: int, snapshot: Snapshot) -> Path | None:
        """Save it."""

    def clear(self) -> None:
        """Forget all of them: the training is done."""


class NullSnapshotManager:
    """Keeps nothing."""

    def load(self, progress: Progress) -> Snapshot | None:
        return None

    def newest(self) -> Path | None:
        return None

    def due(self, global_step: int) -> bool:
        return False

    def keep(self, global_step: int, snapshot: Snapshot) -> Path | None:
        return None

    def clear(self) -> None:
        pass


class SnapshotDirectory:
    """Keeps the latest few in a directory, one file each, called like the number of steps done.

    Args:
        directory: of this training alone.
        settings: everything that the training depends on; snapshots of other settings are of no
            use and are removed.
        config: how often, and how many.
    """

    def __init__(
        self, directory: Path, settings: Mapping[str, Any], config: CheckpointConfig
    ) -> None:
        self._directory, self._settings, self._config = directory, settings, config
        self._last = time.monotonic()
        self._pause = config.seconds

    def load(self, progress: Progress) -> Snapshot | None:
        damaged: list[Path] = []
        found = self._found(progress, damaged)
        workers.wait()  # all have read before anything is removed
        if found is None:
            self.clear()
        elif workers.is_main():
            for path in damaged:
                path.unlink()
        return found

    def _found(self, progress: Progress, damaged: list[Path]) -> Snapshot | None:
        for path in reversed(self._files()):
            try:
                found = read_checkpoint(path)
            except DamagedError as error:
                progress.note(f"{error.problem}; it is removed, and the one before it is used")
                damaged.append(path)
                continue
            wanted = json.loads(json.dumps(self._settings))
            difference = first_difference(found.settings, wanted)
            if difference is None:
                progress.note(f"going on from {path}")
                return Snapshot(found.tensors, found.record)
            progress.note(f"{path}: {difference}; this training begins anew")
            break
        return None

    def newest(self) -> Path | None:
        return next(reversed(self._files()), None)

    def due(self, global_step: int) -> bool:
        if self._config.steps is not None and global_step % self._config.steps == 0:
            return True
        return time.monotonic() - self._last >= self._pause

    def keep(self, global_step: int, snapshot: Snapshot) -> Path:
        started = time.monotonic()
        path = self._directory / f"{global_step:09d}.safetensors"
        if workers.is_main():
            save_checkpoint(path, snapshot.tensors, self._settings, snapshot.record)
            for old in self._files()[: -self._config.keep]:
                old.unlink()
        self._last = time.monotonic()
        self._pause = max(self._config.seconds, (self._last - started) / MOST_TIME)
        return path

    def clear(self) -> None:
        if workers.is_main():
            shutil.rmtree(self._directory, ignore_errors=True)

    def _files(self) -> list[Path]:
        """All that are kept, the oldest first."""
        if not self._directory.is_dir():
            return []
        named = re.compile(r"\d{9,}\.safetensors")
        found = (p for p in self._directory.iterdir() if named.fullmatch(p.name) and p.is_file())
        return sorted(found, key=lambda path: int(path.stem))

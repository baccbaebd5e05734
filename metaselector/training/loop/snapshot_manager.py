"""Save snapshots of an unfinished training run, and find the one to resume from."""

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
from metaselector.training.checkpoint import CheckpointFiles, WholeFiles, first_difference
from metaselector.training.distributed import workers
from metaselector.training.loop.snapshot import Snapshot

MOST_TIME = 0.05
"""Largest share of training time spent on saving snapshots."""


class SnapshotManager(Protocol):
    """Saves and loads snapshots of one training run."""

    def load(self, progress: Progress) -> Snapshot | None:
        """The newest intact snapshot, or None; notes damaged ones on `progress`."""

    def newest(self) -> Path | None:
        """File of the newest snapshot, or None."""

    def due(self, global_step: int) -> bool:
        """Whether it is time to save another snapshot."""

    def keep(self, global_step: int, snapshot: Snapshot) -> Path | None:
        """Save a snapshot and return its file."""

    def clear(self) -> None:
        """Remove all snapshots; training is complete."""

    def clear_left_over(self) -> None:
        """Remove the snapshots of a finished training that was killed before it cleaned up."""


class NullSnapshotManager:
    """Saves nothing."""

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

    def clear_left_over(self) -> None:
        pass


class SnapshotDirectory:
    """Keeps the latest snapshots in a directory, one file each, named by the number of steps.

    Args:
        directory: used by this training run alone.
        settings: everything that the training depends on; snapshots with different settings are
            removed.
        config: how often to save, and how many snapshots to keep.
        files: how they are written and read.
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, Any],
        config: CheckpointConfig,
        files: CheckpointFiles | None = None,
    ) -> None:
        self._directory, self._settings, self._config = directory, settings, config
        self._made = files or WholeFiles()
        self._last = time.monotonic()
        self._pause = config.seconds

    def load(self, progress: Progress) -> Snapshot | None:
        damaged: list[Path] = []
        snapshot = self._newest_intact(progress, damaged)
        workers.wait()  # all have read before anything is removed
        if snapshot is None:
            self.clear()
        elif workers.is_main():
            for path in damaged:
                path.unlink()
        return snapshot

    def _newest_intact(self, progress: Progress, damaged: list[Path]) -> Snapshot | None:
        for path in reversed(self._files()):
            try:
                checkpoint = self._made.read(path)
            except DamagedError as error:
                progress.note(f"{error.problem}; removing it and trying the previous one")
                damaged.append(path)
                continue
            difference = self._differs(checkpoint.settings)
            if difference is None:
                progress.note(f"resuming from {path}")
                return Snapshot(checkpoint.tensors, checkpoint.record)
            progress.note(f"{path}: {difference}; training starts from the beginning")
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
        if workers.is_main() or self._made.collective:
            self._made.save(path, snapshot.tensors, self._settings, snapshot.record)
        if workers.is_main():
            for old in self._files()[: -self._config.keep]:
                old.unlink()
        self._last = time.monotonic()
        self._pause = max(self._config.seconds, (self._last - started) / MOST_TIME)
        return path

    def clear(self) -> None:
        if workers.is_main():
            shutil.rmtree(self._directory, ignore_errors=True)

    def clear_left_over(self) -> None:
        newest = self.newest()
        if newest is None:
            return
        try:
            found = self._made.read_record(newest).settings
        except DamagedError:
            return
        if self._differs(found) is None:  # others may be of a training that is to go on
            self.clear()

    def _differs(self, settings: Mapping[str, Any]) -> str | None:
        return first_difference(settings, json.loads(json.dumps(self._settings)))

    def _files(self) -> list[Path]:
        """All snapshots, the oldest first."""
        if not self._directory.is_dir():
            return []
        named = re.compile(r"\d{9,}\.safetensors")
        found = (p for p in self._directory.iterdir() if named.fullmatch(p.name) and p.is_file())
        return sorted(found, key=lambda path: int(path.stem))

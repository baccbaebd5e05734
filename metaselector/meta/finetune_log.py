"""The losses of the fair rival's candidates, kept so that a search can resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from metaselector.common.progress import Progress
from metaselector.meta.finetune_settings import Choice
from metaselector.training.distributed import workers
from metaselector.training.loop.snapshot import Snapshot
from metaselector.training.loop.snapshot_manager import NullSnapshotManager, SnapshotManager


class SearchLog:
    """The losses of all candidates in the order of the search, which is always the same.

    A search that resumes takes them from here until there are none left.

    Args:
        snapshots: where the log is saved from time to time; None saves nothing.
        progress: is told of a log that was found.

    Example:
        >>> from metaselector.common.progress import Silent
        >>> log = SearchLog(None, Silent())
        >>> log.loss("known", Choice(), lambda: 0.5)
        0.5
    """

    def __init__(self, snapshots: SnapshotManager | None, progress: Progress) -> None:
        self._snapshots = snapshots or NullSnapshotManager()
        found = self._snapshots.load(progress)
        record: dict[str, Any] = {"losses": [], "seconds": 0.0} if found is None else found.record
        self._found: list[list[Any]] = record["losses"]
        self._began = time.perf_counter() - record["seconds"]
        self._place = 0

    @property
    def seconds(self) -> float:
        """Since the search began, over all calls of the command."""
        return time.perf_counter() - self._began

    def loss(self, of: str, choice: Choice, measure: Callable[[], float]) -> float:
        """The loss of the next candidate, from the log if it is there.

        Args:
            of: names what else the loss depends on.
            measure: finds it; infinity for a candidate that was given up.
        """
        named = [of, *map(float, choice)]
        if self._place < len(self._found) and self._found[self._place][0] != named:
            del self._found[self._place :]  # the ladders were others
            self._snapshots.clear()  # of a longer log, they would pass for newer ones
        if self._place == len(self._found):
            loss = measure()
            # JSON has no infinity.
            self._found.append([named, loss if math.isfinite(loss) else None])
            self._save()
        loss = self._found[self._place][1]
        self._place += 1
        return math.inf if loss is None else loss

    def _save(self) -> None:
        count = len(self._found)
        if any(workers.most(int(self._snapshots.due(count)))):
            record = {"losses": self._found, "seconds": self.seconds}
            self._snapshots.keep(count, Snapshot({}, record))

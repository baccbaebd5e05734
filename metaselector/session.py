"""A command that trains: alone in its run's directory, and watched by the trackers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from metaselector.distributed import workers
from metaselector.leftovers import recover, sweep_files
from metaselector.plugin_kinds import TRACKERS
from metaselector.progress import Advance, Progress, Silent
from metaselector.run_directory import Run
from metaselector.run_lock import locked
from metaselector.tracking.json_lines import JSONLines
from metaselector.tracking.tracker import Status, Tracker


@contextmanager
def session(run: Run, progress: Progress) -> Iterator[Progress]:
    """Join the other workers, if torchrun has started several; see :func:`_alone` for the main one.

    Others are silent.
    """
    with workers.joined(run.config.device):
        if workers.is_main():
            with _alone(run, progress) as told:
                yield told
        else:
            yield Silent()


@contextmanager
def _alone(run: Run, progress: Progress) -> Iterator[Progress]:
    """Yield `progress`, with what it is told to log passed on to ``logs/training.jsonl`` and to
    the trackers of the settings.

    Raises:
        UserError: another process is writing the run; or a tracker cannot begin.
    """
    settings = run.config.model_dump(mode="json")
    trackers: list[Tracker] = []
    status: Status = "failed"
    with locked(run.directory):
        try:
            _sweep(run)
            makers = (JSONLines, *(TRACKERS.load(name) for name in run.config.tracking))
            trackers.extend(make(run.directory, settings) for make in makers)
            yield _Tracked(progress, trackers)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            for tracker in trackers:
                tracker.close(status)


def _sweep(run: Run) -> None:
    """Remove what a process that was killed had not written to its end; nobody else writes now."""
    for part in (run.directory / "checkpoints").rglob(".*.safetensors"):
        part.unlink()
    sweep_files(run.directory)
    recover(run.data_directory)


@dataclass(frozen=True)
class _Tracked:
    """`progress`, and beside it trackers."""

    progress: Progress
    trackers: list[Tracker]

    def task(self, description: str, total: int) -> AbstractContextManager[Advance]:
        return self.progress.task(description, total)

    def skipped(self, description: str) -> None:
        self.progress.skipped(description)

    def note(self, text: str) -> None:
        self.progress.note(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        for tracker in tuple(self.trackers):
            try:
                tracker.log(part, values)
            except Exception as error:  # of any library: a server that is gone ends no training
                self.trackers.remove(tracker)
                with suppress(Exception):
                    tracker.close("failed")
                name = type(tracker).__name__
                self.note(f"{name} is left out from now on: {type(error).__name__}: {error}")

"""A training session: locks the run's directory and passes logged values on to trackers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaselector.common.errors import ConfigError, UserError, mishap
from metaselector.common.leftovers import recover
from metaselector.common.progress import Advance, Progress, Silent
from metaselector.config.plugins.kinds import TRACKERS
from metaselector.runs.lock import locked
from metaselector.runs.run import Run
from metaselector.runs.tracking.json_lines import JSONLines
from metaselector.runs.tracking.tracker import Status, Tracker
from metaselector.training.distributed import workers


@contextmanager
def session(run: Run, progress: Progress) -> Iterator[Progress]:
    """Join the other workers, if torchrun started several, and yield where to report progress.

    The main worker locks the run's directory. It logs to ``logs/training.jsonl`` and to the
    trackers of the settings; the other workers are silent.

    Raises:
        UserError: another process is writing to the run, or a tracker cannot start.
    """
    with workers.joined(run.config.device):
        if workers.is_main():
            with _alone(run, progress) as tracked:
                yield tracked
        else:
            yield Silent()


@contextmanager
def _alone(run: Run, progress: Progress) -> Iterator[Progress]:
    """Lock the run's directory and yield `progress` with the trackers attached."""
    settings = run.config.model_dump(mode="json")
    trackers: list[Tracker] = []
    status: Status = "failed"
    with locked(run.directory):
        try:
            _sweep(run)
            trackers.append(JSONLines(run.directory, settings))
            trackers += (_start(name, run.directory, settings) for name in run.config.tracking)
            yield _Tracked(progress, trackers)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            for tracker in trackers:
                try:
                    tracker.close(status)
                except Exception as error:  # a tracker must not fail what was trained
                    progress.note(f"{type(tracker).__name__} failed to close: {mishap(error)}")


def _start(name: str, directory: Path, settings: Mapping[str, Any]) -> Tracker:
    """Return the tracker called `name`, started."""
    make = TRACKERS.load(name)
    try:
        tracker: Tracker = make(directory, settings)
    except UserError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise ConfigError(
            f"tracking: {name} failed to start ({mishap(error)}); it is called with the run's "
            "directory and settings; fix it, or remove it from tracking"
        ) from error
    for method in ("log", "close"):
        if not callable(getattr(tracker, method, None)):
            raise ConfigError(
                f"tracking: {name} has no method {method}; a tracker needs log(part, values) and "
                "close(status)"
            )
    return tracker


def _sweep(run: Run) -> None:
    """Remove partial files of a killed process; call it only under the lock."""
    for part in (run.directory / "checkpoints").rglob(".*.safetensors"):
        part.unlink()
    recover(run.data_directory)


@dataclass(frozen=True)
class _Tracked:
    """Forwards to `progress`, and logged values to the trackers too."""

    progress: Progress
    trackers: list[Tracker]

    def task(self, description: str, total: int) -> AbstractContextManager[Advance]:
        return self.progress.task(description, total)

    def skipped(self, description: str) -> None:
        self.progress.skipped(description)

    def note(self, text: str) -> None:
        self.progress.note(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        self.progress.log(part, values)
        for tracker in tuple(self.trackers):
            try:
                tracker.log(part, values)
            except Exception as error:  # a lost server must not end the training
                self.trackers.remove(tracker)
                with suppress(Exception):
                    tracker.close("failed")
                name = type(tracker).__name__
                self.note(f"{name} failed, and is not used any more: {mishap(error)}")

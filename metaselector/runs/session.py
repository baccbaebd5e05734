"""A command that trains: alone in its run's directory, and watched by the trackers."""

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
            trackers.append(JSONLines(run.directory, settings))
            trackers += (_begun(name, run.directory, settings) for name in run.config.tracking)
            yield _Tracked(progress, trackers)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            for tracker in trackers:
                try:
                    tracker.close(status)
                except Exception as error:  # of any library: what was trained is kept
                    progress.note(f"{type(tracker).__name__} does not end: {mishap(error)}")


def _begun(name: str, directory: Path, settings: Mapping[str, Any]) -> Tracker:
    """The tracker called `name`, which is there as long as the command trains."""
    make = TRACKERS.load(name)
    try:
        tracker: Tracker = make(directory, settings)
    except UserError:
        raise
    except Exception as error:  # whatever it does
        raise ConfigError(
            f"tracking: {name} does not begin ({mishap(error)}); it is called with the run's "
            "directory and its settings; mend it, or leave it out of tracking"
        ) from error
    for method in ("log", "close"):
        if not callable(getattr(tracker, method, None)):
            raise ConfigError(
                f"tracking: {name} has no method {method}; a tracker has log(part, values) and "
                "close(status)"
            )
    return tracker


def _sweep(run: Run) -> None:
    """Remove what a process that was killed had not written to its end; nobody else writes now."""
    for part in (run.directory / "checkpoints").rglob(".*.safetensors"):
        part.unlink()
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
                self.note(f"{name} is left out from now on: {mishap(error)}")

"""Training sessions: trackers, locks and leftovers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from metaselector.common.errors import ConfigError, UserError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.config.plugins.kinds import TRACKERS
from metaselector.runs.run import Run
from metaselector.runs.session import session
from metaselector.runs.tracking.json_lines import LOG
from metaselector.runs.tracking.tracker import Status
from tests.runs.notes import Notes


class Recorder:
    """Remembers what is logged; fails at the third line."""

    made: list[Recorder] = []  # noqa: RUF012  emptied by the fixture

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self.directory, self.settings = directory, settings
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.status: Status | None = None
        self.made.append(self)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        if len(self.lines) == 2:
            raise ConnectionError("the server is gone")
        self.lines.append((part, dict(values)))

    def close(self, status: Status) -> None:
        self.status = status


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setitem(TRACKERS.registered, "recorder", Recorder)
    monkeypatch.setattr(Recorder, "made", [])
    return Run(tmp_path / "run", load_config(overrides=["tracking=[recorder]"]))


def test_trackers_receive_values(run: Run) -> None:
    with session(run, Silent()) as progress:
        progress.log("part", {"round": 1, "loss": 0.5})
    (tracker,) = Recorder.made
    assert tracker.directory == run.directory
    assert tracker.settings["adapt"]["steps"] == run.config.adapt.steps
    assert tracker.lines == [("part", {"round": 1, "loss": 0.5})]
    assert tracker.status == "finished"
    assert (run.directory / LOG).exists()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (UserError, "failed")]
)
def test_trackers_receive_the_status(run: Run, error: type[BaseException], status: Status) -> None:
    with pytest.raises(error), session(run, Silent()):
        raise error
    assert Recorder.made[0].status == status


def test_a_failing_tracker_does_not_end_the_training(run: Run) -> None:
    notes = Notes()
    with session(run, notes) as progress:
        for number in range(5):
            progress.log("part", {"round": number})
    (text,) = notes.texts
    assert text.startswith(
        "Recorder failed, and is not used any more: ConnectionError: the server is gone"
    )
    assert len((run.directory / LOG).read_text().splitlines()) == 7


def test_what_a_killed_process_was_writing_is_removed(run: Run) -> None:
    folder = run.directory / "checkpoints" / "seed-0"
    folder.mkdir(parents=True)
    for name in (".abc.safetensors", "base-lr-train.safetensors"):
        (folder / name).write_text("x")
    table = run.directory / ".metaselector-0123abcd.csv"
    table.touch()
    os.utime(table, (0, 0))
    data = run.directory / ".metaselector-new-data-0123abcd"
    data.mkdir()
    with session(run, Silent()):
        pass
    assert [path.name for path in folder.iterdir()] == ["base-lr-train.safetensors"]
    assert not table.exists()
    assert not data.exists()


def test_unknown_trackers_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown tracker 'tensorbord'; did you mean"):
        load_config(overrides=["tracking=[tensorbord]"])


class Broken(Recorder):
    def close(self, status: Status) -> None:
        raise OSError("no")


class Without:
    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        pass


@pytest.mark.parametrize(
    ("tracker", "problem"),
    [
        (lambda: None, r"^tracking: own failed to start \(TypeError: .*directory and settings"),
        (None, r"own failed to start \(TypeError: "),
        (
            Without,
            r"own has no method log; a tracker needs log\(part, values\) and close\(status\)",
        ),
    ],
)
def test_invalid_trackers_are_refused(
    run: Run, tracker: Any, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRACKERS.registered, "own", tracker)
    both = Run(run.directory, load_config(overrides=["tracking=[recorder, own]"]))
    with pytest.raises(ConfigError, match=problem), session(both, Silent()):
        pass
    assert [each.status for each in Recorder.made] == ["failed"]


def test_a_tracker_that_fails_to_close(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRACKERS.registered, "broken", Broken)
    notes = Notes()
    both = Run(run.directory, load_config(overrides=["tracking=[broken, recorder]"]))
    with session(both, notes):
        pass
    assert Recorder.made[1].status == "finished"
    (text,) = notes.texts
    assert text.startswith("Broken failed to close: OSError: no (")

"""A search for the fair rival's settings that was interrupted, and resumes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig
from metaselector.meta import finetune, finetune_settings
from metaselector.meta.finetune import choose_finetuning
from metaselector.meta.finetune_log import SearchLog
from metaselector.meta.finetune_settings import Choice
from metaselector.meta.parameters import MetaParameters
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from tests.meta.outer_world import equal
from tests.meta.test_finetune_fair import world


def directory(path: Path, settings: int = 0) -> SnapshotDirectory:
    """Saves every candidate."""
    return SnapshotDirectory(path, {"settings": settings}, CheckpointConfig(steps=1))


def fill(log: SearchLog, losses: list[float]) -> None:
    for steps, loss in enumerate(losses, 1):
        assert log.loss("known", Choice(steps=steps), iter([loss]).__next__) == loss


@pytest.fixture
def never() -> Any:
    def measure() -> float:
        raise AssertionError("measured again")

    return measure


def test_losses_come_from_the_log_until_there_are_none_left(tmp_path: Path, never: Any) -> None:
    fill(SearchLog(directory(tmp_path), Silent()), [0.1 + 0.2, math.inf])
    log = SearchLog(directory(tmp_path), Silent())
    assert log.loss("known", Choice(steps=1), never) == 0.1 + 0.2
    assert log.loss("known", Choice(steps=2), never) == math.inf
    assert log.loss("known", Choice(steps=3), lambda: 0.5) == 0.5


def test_a_loss_that_is_no_number_is_the_worst() -> None:
    assert SearchLog(None, Silent()).loss("known", Choice(), lambda: math.nan) == math.inf


@pytest.mark.parametrize("other", [("new", Choice()), ("known", Choice(tables=0.1))])
def test_what_another_search_measured_is_forgotten(
    tmp_path: Path, never: Any, other: tuple[str, Choice]
) -> None:
    log = SearchLog(directory(tmp_path), Silent())
    for tables in (0.3, 1.0, 3.0):
        log.loss("known", Choice(tables=tables), lambda: 0.5)
    log = SearchLog(directory(tmp_path), Silent())
    assert log.loss(*other, lambda: 0.25) == 0.25
    with pytest.raises(AssertionError, match="measured again"):
        log.loss("known", Choice(tables=1.0), never)
    assert SearchLog(directory(tmp_path), Silent()).loss(*other, never) == 0.25


def test_other_settings_start_from_the_beginning(tmp_path: Path, never: Any) -> None:
    fill(SearchLog(directory(tmp_path), Silent()), [0.5])
    log = SearchLog(directory(tmp_path, settings=1), Silent())
    with pytest.raises(AssertionError, match="measured again"):
        log.loss("known", Choice(steps=1), never)


def test_seconds_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 7.0, 100.0, 101.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    fill(SearchLog(directory(tmp_path), Silent()), [0.5])
    assert SearchLog(directory(tmp_path), Silent()).seconds == 8.0


# The whole search


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Counts predictions of *valid*, and interrupts after so many; with few settings to choose."""
    one = Choice(*((value,) for value in Choice()))  # type: ignore[arg-type]
    small = one._replace(steps=(2, 3), others=(0.1, 0.3), prior_rows=(1.0, 3.0))  # type: ignore[arg-type]
    monkeypatch.setattr(finetune_settings, "LADDERS", small)
    count: dict[str, float] = {"done": 0, "most": math.inf}
    predict = finetune.valid_predictions

    def counted(*args: Any, **kwargs: Any) -> Any:
        if count["done"] >= count["most"]:
            raise KeyboardInterrupt
        count["done"] += 1
        return predict(*args, **kwargs)

    monkeypatch.setattr(finetune, "valid_predictions", counted)
    return count


@pytest.mark.parametrize("protocol", ["warm", "cold"])
def test_an_interrupted_search_ends_as_if_it_had_not_been(
    tmp_path: Path, calls: dict[str, float], protocol: str
) -> None:
    found, mixture = world(protocol)
    phi = {n: p.detach() + 1 for n, p in mixture.named_parameters() if n.startswith("selector.")}

    def chosen(path: Path | None) -> MetaParameters:
        return choose_finetuning(
            found,
            mixture,
            MetaParameters(phi, {}, {}),
            description="",
            progress=Silent(),
            snapshots=None if path is None else directory(path),
        )

    whole = chosen(None)
    candidates = int(calls["done"])
    assert candidates > 8
    for at in range(1, candidates, 4):
        calls |= {"done": 0, "most": at}
        with pytest.raises(KeyboardInterrupt):
            chosen(tmp_path / str(at))
        calls |= {"done": 0, "most": math.inf}
        resumed = chosen(tmp_path / str(at))
        assert resumed.history == whole.history
        assert equal(resumed.phi, whole.phi)
        assert equal(resumed.alpha, whole.alpha)
        assert resumed.best_epoch == whole.best_epoch
        # What was measured before is not repeated, but for the one to beat.
        assert candidates - at <= calls["done"] <= candidates - at + 1

"""The training loop: what is kept, when it ends, and that an interruption changes nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig
from metaselector.training.loop.divergence import Diverged
from metaselector.training.loop.interruption import Interrupted
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from metaselector.training.loop.train import Outcome, Plan, train

PLAN = Plan(first=0, last=6, steps=30, patience=3)


class Told(Silent):
    """What it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.lines: list[dict[str, Any]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def log(self, part: str, values: Any) -> None:
        self.lines.append(dict(values))


def run(trainable: Any, directory: Path | None = None, plan: Plan = PLAN, **config: Any) -> Outcome:
    kept = CheckpointConfig(**{"seconds": 1e9, **config})
    snapshots = None if directory is None else SnapshotDirectory(directory, {"seed": 1}, kept)
    return train(trainable, plan, description="small", progress=Silent(), snapshots=snapshots)


def assert_equal(a: Outcome, b: Outcome) -> None:
    assert a.best_epoch == b.best_epoch
    assert a.best.keys() == b.best.keys()
    assert all(torch.equal(a.best[name], b.best[name]) for name in a.best)
    assert a.position.history == b.position.history
    assert a.position.rates == b.position.rates
    assert a.position.global_step == b.position.global_step


def stop_after(trainable: Any, steps: int, number: int = signal.SIGINT) -> None:
    """Send this process a signal while the trainee's given step is under way."""
    gradients = trainable.gradients

    def then(piece: Any, epoch: int) -> float | None:
        found: float | None = gradients(piece, epoch)
        if trainable.steps == steps:
            os.kill(os.getpid(), number)
        return found

    trainable.gradients = then


@pytest.mark.usefixtures("global_state")
def test_same_seed_same_numbers(small: Any) -> None:
    assert_equal(run(small()), run(small()))


def test_keeping_snapshots_changes_nothing(small: Any, tmp_path: Path) -> None:
    assert_equal(run(small()), run(small(), tmp_path / "x", steps=1))


@pytest.mark.parametrize("steps", [1, 4, 6, 7, 11, 16])
@pytest.mark.usefixtures("global_state")
def test_an_interrupted_training_ends_as_one_that_was_not(
    small: Any, tmp_path: Path, steps: int
) -> None:
    whole, first = run(small()), small()
    stop_after(first, steps)
    with pytest.raises(Interrupted) as caught:
        run(first, tmp_path / "x")
    assert caught.value.kept is not None
    assert caught.value.kept.exists()
    second = small()
    assert_equal(run(second, tmp_path / "x"), whole)
    assert second.steps == whole.position.global_step - int(caught.value.kept.stem)


def test_interrupted_again_and_again(small: Any, tmp_path: Path) -> None:
    whole = run(small())
    for _ in range(whole.position.global_step):
        trainable = small()
        stop_after(trainable, 1)
        try:
            outcome = run(trainable, tmp_path / "x")
            break
        except Interrupted:
            continue
    else:
        outcome = run(small(), tmp_path / "x")
    assert_equal(outcome, whole)


def test_a_finished_training_is_not_trained_on(small: Any, tmp_path: Path) -> None:
    whole = run(small(), tmp_path / "x", steps=1)
    again = small()
    assert_equal(run(again, tmp_path / "x"), whole)
    assert again.steps == 0


def test_sigterm_says_its_number(small: Any, tmp_path: Path) -> None:
    trainable = small()
    stop_after(trainable, 2, signal.SIGTERM)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        run(trainable, tmp_path / "x")
    assert caught.value.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_best_epoch_is_kept(small: Any) -> None:
    found = run(small())
    losses = [line["valid_loss"] for line in found.position.history]
    assert found.best_epoch == losses.index(min(losses))
    assert found.position.history[0]["train_loss"] is None
    assert len(losses) <= found.best_epoch + PLAN.patience + 1


def test_without_valid_every_epoch_is_trained(small: Any) -> None:
    found = run(small(valid=False))
    assert [line["epoch"] for line in found.position.history] == list(range(7))
    assert found.best == {}


def test_it_does_not_stop_before_it_may(small: Any) -> None:
    patient = Plan(first=0, last=20, steps=100, patience=1, until=15)
    assert len(run(small(), plan=patient).position.history) >= 16


# Non-finite losses


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_nonfinite_loss_names_its_users(small: Any, factor: float) -> None:
    trainable = small()
    trainable.fails = lambda piece: factor if piece == 3 else 1.0
    with pytest.raises(Diverged, match=r"^small: the loss of step \d \(epoch 1\)") as caught:
        run(trainable)
    message = str(caught.value)
    assert "non-finite for user bad 3, and so are gradients of the weight" in message
    assert "last good checkpoint: none saved yet; lower the learning rate" in message


def test_nonfinite_parameters_name_the_step_before(small: Any, tmp_path: Path) -> None:
    trainable = small()
    pieces: list[Any] = []

    def spoil(piece: Any) -> float:
        pieces.append(piece)
        if len(pieces) == 4:
            trainable.table.data[0] = float("nan")
        return 1.0

    trainable.fails = spoil
    with pytest.raises(Diverged) as caught:
        run(trainable, tmp_path / "x", steps=1)
    message = str(caught.value)
    assert "non-finite values in the table after step" in message
    newest = max((tmp_path / "x").iterdir())
    assert str(newest) in message
    assert int(newest.stem) <= 4


def test_an_epoch_that_ends_nonfinite_is_an_error(small: Any) -> None:
    trainable = small(valid=False)
    update = trainable.update

    def spoil() -> None:
        update()
        if trainable.steps >= 30:
            trainable.weight.data.fill_(float("inf"))

    trainable.update = spoil
    with pytest.raises(Diverged, match="non-finite values in the weight"):
        run(trainable)


def test_what_is_logged(small: Any) -> None:
    told = Told()
    train(small(), PLAN, description="small", progress=told)
    ends = [line for line in told.lines if "valid_loss" in line]
    assert [line["epoch"] for line in ends] == list(range(len(ends)))
    assert all(line["rate/a"] == 1.0 for line in ends)
    assert [line["round"] for line in told.lines if "loss" in line] == [0]

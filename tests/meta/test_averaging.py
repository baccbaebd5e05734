"""The moving average of what the outer loop learns."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
import torch

from metaselector.config import CheckpointConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta.averaging import AVERAGE, MovingAverage
from metaselector.meta.outer_loop import MetaLearner
from metaselector.meta.parameters import MetaParameters
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from tests.meta.outer_world import EPOCHS, equal, planted, script_losses, train, with_meta_train


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def moved(decay: float, steps: int) -> list[float]:
    """The average of a number that is 0 at first and 1 from the first step on."""
    learned = {"a": torch.zeros(1, dtype=torch.float64)}
    average = MovingAverage(learned, decay)
    learned["a"].fill_(1.0)
    found = []
    for _ in range(steps):
        average.update()
        found.append(average.values["a"].item())
    return found


def test_known_numbers() -> None:
    """With little decay every step halves what is left, from the first one on that is allowed to.

    The first steps go further: by 1 - 2/11 and 1 - 3/12 of the way.
    """
    left = [1 - value for value in moved(0.2, 3)]
    assert left == pytest.approx([2 / 11, 2 / 11 * 0.2, 2 / 11 * 0.2**2], rel=1e-12)


def test_the_start_is_soon_forgotten() -> None:
    """Until (1 + t) / (10 + t) exceeds the decay, the average moves faster than it says."""
    left, expected = 1.0, []
    for step in range(1, 13):
        left *= min(0.5, (1 + step) / (10 + step))
        expected.append(1 - left)
    assert moved(0.5, 12) == pytest.approx(expected, rel=1e-12)
    assert (1 + 8) / (10 + 8) == 0.5  # so both sides of the bound are seen above


def test_no_decay_is_no_average() -> None:
    learned = {"a": torch.zeros(2)}
    average = MovingAverage(learned, 0.0)
    learned["a"].fill_(3.0)
    average.update()
    assert average.tensors == {}
    assert average.values["a"].tolist() == [3.0, 3.0]


def test_what_is_averaged_is_left_alone() -> None:
    learned = {"a": torch.nn.Parameter(torch.zeros(1))}
    average = MovingAverage(learned, 0.9)
    with torch.no_grad():
        learned["a"].fill_(1.0)
    average.update()
    assert learned["a"].item() == 1.0
    assert not any(tensor.requires_grad for tensor in average.values.values())


def test_restored_in_place_it_goes_on_bit_for_bit() -> None:
    torch.manual_seed(0)
    learned = {"a": torch.randn(3)}
    average = MovingAverage(learned, 0.9)
    saved: dict[str, torch.Tensor] = {}
    for step in range(6):
        if step == 3:
            saved = {name: tensor.clone() for name, tensor in average.tensors.items()}
            then = learned["a"].clone()
        learned["a"] += 0.5
        average.update()
    again = {"a": then}
    resumed = MovingAverage(again, 0.9)
    for name, tensor in resumed.tensors.items():
        tensor.copy_(saved[name])
    for _ in range(3):
        again["a"] += 0.5
        resumed.update()
    assert equal(resumed.tensors, average.tensors)
    assert set(saved) == {f"{AVERAGE}a", f"{AVERAGE}steps"}


def test_the_average_is_what_is_kept(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training itself takes the same steps; only what is validated and kept lags behind."""
    losses = script_losses(monkeypatch)
    losses += [4.0, 3.0, 2.0, 1.0] * 3
    plain, averaged, frozen = (
        train("metaselector", dataset, config=with_meta_train(averaging=decay, **rates))
        for decay, rates in (
            (0.0, {}),
            (0.9, {}),
            (0.9, dict.fromkeys(("outer_lr_theta", "outer_lr_phi", "outer_lr_alpha"), 0.0)),
        )
    )
    assert [row["train_loss"] for row in averaged.history] == [
        row["train_loss"] for row in plain.history
    ]
    for name, start in frozen.phi.items():  # with a rate of 0 nothing moves
        far, near = (plain.phi[name] - start).norm(), (averaged.phi[name] - start).norm()
        assert 0 < near < far
    assert not equal(averaged.theta_delta, plain.theta_delta)
    assert not equal(averaged.alpha, plain.alpha)


@pytest.mark.parametrize("stop", [2, 5])
def test_a_resumed_meta_training_equals_one_that_ran_through(
    stop: int, dataset: EncodedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its middle, it goes on with the same averages, to the last bit."""
    config = with_meta_train(averaging=0.9, users_per_batch=2)

    def learned(folder: str) -> MetaParameters:
        kept = SnapshotDirectory(tmp_path / folder, {}, CheckpointConfig(steps=1))
        return train("metaselector", dataset, config=config, snapshots=kept)

    whole = learned("whole")
    calls = count()
    update = MetaLearner.update

    def stopping(self: MetaLearner) -> None:
        if next(calls) == stop:
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setattr(MetaLearner, "update", stopping)
    with pytest.raises(KeyboardInterrupt):
        learned("stopped")
    resumed = learned("stopped")
    steps = EPOCHS * 4  # four meta-batches an epoch
    assert next(calls) == steps + 1  # the steps before the stop were not taken again
    for part in ("phi", "theta_delta", "alpha"):
        assert equal(getattr(resumed, part), getattr(whole, part))
    assert [row["valid_loss"] for row in resumed.history] == [
        row["valid_loss"] for row in whole.history
    ]

"""Functions that are called often are recorded, and give what they gave before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metaselector.models.kernels.replay import Fixed, Recorder, Recording, recordable

GENERATOR = torch.Generator().manual_seed(0)


def new(*shape: int) -> Tensor:
    return torch.rand(shape, generator=GENERATOR)


def product(given: Any, fixed: Any) -> Any:
    return {"product": given["x"] * fixed.exp(), "sum": (given["x"].sum(), None)}


def test_numbers_are_those_of_the_function() -> None:
    recorder = Recorder(calls=2)
    for _ in range(8):
        x, y = new(3), new(3)
        found = recorder("product", product, {"x": x}, Fixed(y))
        assert torch.equal(found["product"], x * y.exp())
        assert torch.equal(found["sum"][0], x.sum())
        assert found["sum"][1] is None
    assert recorder.replays == 4  # two calls before, two with checks
    assert not recorder.refused


def test_other_shapes_count_for_themselves() -> None:
    recorder = Recorder(calls=1)
    for size in (2, 3, 4, 2):
        recorder("product", product, {"x": new(size)}, Fixed(new(size)))
    assert recorder.replays == 0


@pytest.mark.parametrize("change", [lambda x: x.double(), lambda x: x.mT])
def test_other_types_and_strides_count_for_themselves(change: Any) -> None:
    recorder = Recorder(calls=1)
    for _ in range(3):
        recorder("square", lambda given, fixed: given.square(), new(3, 2), Fixed(None))
    x = change(new(2, 2) if change(new(1, 2)).shape == (2, 1) else new(3, 2))
    found = recorder("square", lambda given, fixed: given.square(), x, Fixed(None))
    assert found.dtype == x.dtype
    assert recorder.replays == 1


def test_what_depends_on_fixed_tensors_alone_runs_once() -> None:
    recorder, fixed = Recorder(calls=0), Fixed(new(3))
    for _ in range(4):
        recorder("product", product, {"x": new(3)}, fixed)
    (known,) = fixed.known.values()
    assert torch.equal(known[0], fixed.tree.exp())


def test_a_constant_of_the_batch_that_was_baked_in_is_found_out() -> None:
    """Values that reach a tensor behind torch's back."""

    def sneaky(given: Any, fixed: Any) -> Any:
        return given * torch.full_like(given, float(fixed.numpy().sum()))

    recorder = Recorder(calls=0)
    for _ in range(3):
        x, y = new(3), new(3)
        found = recorder("sneaky", sneaky, x, Fixed(y))
        assert torch.equal(found, x * torch.full_like(x, float(y.numpy().sum())))
    assert recorder.replays == 0
    assert recorder.refused == {"sneaky": "a replay gave other results"}


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda given, fixed: given + torch.rand(3), "random"),
        (lambda given, fixed: given * float(given.sum()), "value out of a tracing tensor"),
        (lambda given, fixed: given[given > 0.5], "shape"),
    ],
)
def test_what_cannot_be_recorded_runs_as_before(function: Any, why: str) -> None:
    recorder = Recorder(calls=0)
    for _ in range(3):
        x = new(3)
        torch.manual_seed(1)
        found = recorder("it", function, x, Fixed(None))
        torch.manual_seed(1)
        assert torch.equal(found, function(x, None))
    assert recorder.replays == 0
    assert why in recorder.refused["it"]


def test_errors_of_the_function_are_its_own() -> None:
    def wrong(given: Any, fixed: Any) -> Any:
        raise ValueError("no")

    recorder = Recorder(calls=0)
    with pytest.raises(ValueError, match="no"):
        recorder("wrong", wrong, new(3), Fixed(None))


def test_another_way_to_the_results_is_taken_until_they_are_replayed() -> None:
    recorder, taken = Recorder(calls=1), []

    def plain(x: Tensor, y: Tensor) -> Any:
        taken.append(x)
        return product({"x": x}, y)

    for _ in range(5):
        x, y = new(3), new(3)
        recorder("product", product, {"x": x}, Fixed(y), lambda x=x, y=y: plain(x, y))
    assert len(taken) == 3  # one before the recording, two to compare with
    assert recorder.replays == 2


def test_inside_of_a_recorded_function_nothing_is_recorded() -> None:
    recorder = Recorder(calls=0)

    def outer(given: Any, fixed: Any) -> Any:
        return recorder("inner", lambda x, _: x + 1, given, Fixed(None)) * 2

    for _ in range(3):
        x = new(2)
        assert torch.equal(recorder("outer", outer, x, Fixed(x + 1)), (x + 1) * 2)
    assert recorder.replays == 1
    assert not recorder.refused


def test_nan_is_nan_again() -> None:
    recorder = Recorder(calls=0)
    for x in (-new(3), -new(3), -new(3)):
        assert recorder("log", lambda given, fixed: given.log(), x, Fixed(x + 1)).isnan().all()
    assert recorder.replays == 1


def test_a_replay_that_fails_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise RuntimeError("no such view")

    monkeypatch.setattr(Recording, "_replay", fails)
    recorder, x = Recorder(calls=0), new(3)
    for _ in range(3):
        assert torch.equal(recorder("square", lambda given, _: given**2, x, Fixed(None)), x**2)
    assert recorder.refused == {"square": "a replay gave no such view"}


def test_modules_of_others_are_not_recorded() -> None:
    class Other(nn.Module):
        pass

    assert recordable(nn.Sequential(nn.Linear(1, 1), nn.Dropout()))
    assert not recordable(nn.Sequential(nn.Linear(1, 1), Other()))

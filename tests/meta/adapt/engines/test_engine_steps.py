"""Each inner step of an engine equals a loop with that number of steps."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.meta.adapt.contract import Engine, InnerLoop, Loss
from metaselector.meta.adapt.engines import func
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import InnerRule, MetaSGD
from tests.meta.adapt.engine_runner import RATE
from tests.meta.adapt.engines.factored_layers import Steps, close

STEPS = 3
UNEVEN: dict[str, Any] = {"half_lives": (None, 2.0, 1.0), "prior_rows": 3.0}


@pytest.fixture
def make_loop(world: Any, loss: Loss, make_adaptation: Any) -> Callable[[InnerRule], InnerLoop]:
    def make(rule: InnerRule) -> InnerLoop:
        adaptation, rates = make_adaptation(world, rule, STEPS, **UNEVEN)
        return InnerLoop(world.model, world.params, rates, adaptation, world.episodes, loss)

    return make


@pytest.fixture
def loop(make_loop: Callable[[InnerRule], InnerLoop]) -> InnerLoop:
    return make_loop(MetaSGD(RATE))


def shorter(engine: Engine, loop: InnerLoop, steps: int) -> Any:
    """The output of a loop of `steps` only."""
    return engine(*loop._replace(adaptation=loop.adaptation.with_steps(steps)))


@torch.no_grad()
def test_outputs_equal_those_of_a_shorter_loop(
    engine: Engine,
    rule: InnerRule,
    make_loop: Callable[[InnerRule], InnerLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exactly, if the same weights are factored; the number of steps decides which are."""
    monkeypatch.setattr(func, "factorable", lambda *_: set())
    loop = make_loop(rule)
    steps = engine.steps(loop)
    assert len(steps) == STEPS + 1
    for n, (output, _) in enumerate(steps):
        for a, b in zip(output, shorter(engine, loop, n), strict=True):
            assert torch.equal(a, b), n
    assert not torch.equal(steps[0].output.log_positive, steps[1].output.log_positive)


def test_distances_are_those_of_the_slow_loop(
    engine: Engine, loop: InnerLoop, reference: ModuleType
) -> None:
    first, *others = engine.steps(loop)
    assert not first.squares
    for n, step in enumerate(others, start=1):
        assert_distances(step.squares, loop, n, reference)


def assert_distances(
    squares: dict[str, Tensor], loop: InnerLoop, steps: int, reference: ModuleType
) -> None:
    users = reference.adapt_users(*loop._replace(adaptation=loop.adaptation.with_steps(steps)))
    assert tuple(squares) == loop.adaptation.names
    for name, found in squares.items():
        assert not found.requires_grad
        moved = [(user.params[name] - loop.params[name]).square().sum() for user in users]
        close(found, torch.stack(moved).detach(), name)


def test_all_steps_cost_one_loop(engine: Engine, loop: InnerLoop) -> None:
    calls = []

    def counted(*arguments: Any) -> Tensor:
        calls.append(arguments)
        return loop.loss(*arguments)

    engine.steps(loop._replace(loss=counted))
    every = len(calls)
    engine(*loop._replace(loss=counted))
    assert every == len(calls) - every > 0


def test_without_steps_there_is_the_start_alone(engine: Engine, loop: InnerLoop) -> None:
    none = loop._replace(adaptation=loop.adaptation.with_steps(0))
    (only,) = engine.steps(none)
    assert torch.equal(only.output.weights, engine(*none).weights)
    assert not only.squares


def test_weights_that_are_never_formed_move_as_far(
    steps_taken: Steps, world: Any, loss: Loss, make_adaptation: Any, reference: ModuleType
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), STEPS)
    loop = InnerLoop(world.model, world.params, rates, adaptation, world.episodes, loss)
    for n, step in enumerate(FuncEngine().steps(loop)[1:], start=1):
        assert_distances(step.squares, loop, n, reference)
        for a, b in zip(step.output, shorter(FuncEngine(), loop, n), strict=True):
            close(a, b)
    assert steps_taken

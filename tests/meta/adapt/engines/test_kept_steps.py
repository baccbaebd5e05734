"""Inner loops that go on from a kept state give the numbers of those that run anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from base_models import DeepFM
from metaselector.meta.adapt.adaptation import HALF_LIFE, PRIOR_ROWS, TIME_DECAY, Adaptation
from metaselector.meta.adapt.contract import InnerLoop
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.engines.kept_steps import KeptSteps
from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rules import MAML, MetaSGD
from metaselector.meta.adapt.touched import as_tree, of_tree
from metaselector.models.kernels.replay import Recorder
from metaselector.models.kernels.trees import flatten, unflatten
from metaselector.models.losses import MeanLoss, mean_loss

STEPS = 4


@pytest.fixture
def engine() -> FuncEngine:
    return FuncEngine(Recorder(calls=1000), KeptSteps())


Loops = Callable[..., InnerLoop]


@pytest.fixture
def loops(world_with_times: Any, make_adaptation: Any) -> Loops:
    """Makes loops with other settings."""
    world_with_times.model.eval()

    def make(steps: int = STEPS, world: Any = world_with_times, **settings: Any) -> InnerLoop:
        adaptation, rates = make_adaptation(
            world, MetaSGD(0.3), steps, per_step=True, learned=True, **settings
        )
        return InnerLoop(world.model, world.params, rates, adaptation, world.episodes, mean_loss)

    return make


@torch.no_grad()
def outputs(engine: FuncEngine, all_loops: Sequence[InnerLoop]) -> list[Any]:
    return [engine(*loop) for loop in all_loops]


def check(engine: FuncEngine, all_loops: Sequence[InnerLoop]) -> int:
    """Compare with loops that run anew; returns how many went on from a state."""
    assert engine.kept is not None
    before = engine.kept.found
    for found, wanted in zip(
        outputs(engine, all_loops), outputs(FuncEngine(), all_loops), strict=True
    ):
        for one, two in zip(found, wanted, strict=True):
            assert torch.equal(one, two)
    return engine.kept.found - before


def changed(loop: InnerLoop, name: str, step: int, by: float = 2.0) -> InnerLoop:
    """The loop with another number in one step."""
    rate = loop.rates[name].clone()
    rate[step] *= by
    return loop._replace(rates={**loop.rates, name: rate})


def last(loop: InnerLoop) -> list[InnerLoop]:
    """The loop, and others that differ in the last step."""
    rate = next(name for name in loop.rates if "/" not in name)
    return [loop, *(changed(loop, name, -1) for name in (HALF_LIFE, PRIOR_ROWS, rate))]


def test_another_last_step_takes_one_step(engine: FuncEngine, loops: Loops) -> None:
    assert check(engine, last(loops(prior_rows=2.0))) == 3


def test_more_steps_take_those_that_are_new(engine: FuncEngine, loops: Loops) -> None:
    loop = loops(2)
    longer = [loop._replace(adaptation=loop.adaptation.with_steps(steps)) for steps in (2, 3, 5, 9)]
    assert check(engine, longer) == 3


def test_fewer_steps_start_anew(engine: FuncEngine, loops: Loops) -> None:
    assert check(engine, [loops(5), loops(4)]) == 0


@pytest.mark.parametrize("name", [HALF_LIFE, TIME_DECAY, PRIOR_ROWS, "rate"])
def test_another_step_before_the_last_starts_anew(
    engine: FuncEngine, loops: Loops, name: str
) -> None:
    loop = loops(prior_rows=2.0, time_decays=(0.5,) * STEPS)
    name = next(of for of in loop.rates if "/" not in of) if name == "rate" else name
    assert check(engine, [loop, changed(loop, name, STEPS - 2)]) == 0


def test_other_parameters_start_anew(engine: FuncEngine, loops: Loops) -> None:
    loop = loops()
    for name in loop.params:
        params = {of: p + 0.01 if of == name else p for of, p in loop.params.items()}
        assert check(engine, [loop, loop._replace(params=params)]) == 0
        engine.forget()


def test_another_loss_starts_anew(engine: FuncEngine, loops: Loops) -> None:
    def halved(*of: Any) -> Tensor:
        return mean_loss(*of) / 2

    assert check(engine, [loops(), loops()._replace(loss=halved)]) == 0


def test_users_in_another_order_start_anew(engine: FuncEngine, loops: Loops) -> None:
    leaves, spec = flatten(as_tree(loops().episodes))
    for name in range(len(leaves)):
        some = [leaf.roll(1, 0) if i == name else leaf for i, leaf in enumerate(leaves)]
        loop = loops()._replace(episodes=of_tree(unflatten(spec, iter(some))))
        if any(not torch.equal(a, b) for a, b in zip(some, leaves, strict=True)):
            check(engine, [loops(), loop])
        engine.forget()


def test_other_users_do_not_replace_a_state(engine: FuncEngine, loops: Loops) -> None:
    leaves, spec = flatten(as_tree(loops().episodes))
    others = loops()._replace(
        episodes=of_tree(unflatten(spec, iter([leaf.roll(1, 0) for leaf in leaves])))
    )
    assert check(engine, [loops(), others, *last(loops())[1:], *last(others)[1:]]) == 6


def test_the_correction_by_residuals_is_the_same(engine: FuncEngine, loops: Loops) -> None:
    residuals = ResidualAttention(("a", "b"), 0.65, 20.0, 100.0, 0.05, 2.0)
    assert check(engine, last(loops(residuals=residuals))) == 3


def test_factored_weights_go_on_too(engine: FuncEngine, loops: Loops, steps_taken: Any) -> None:
    assert check(engine, last(loops())) == 3


def test_several_tasks_and_a_context_go_on_too(
    engine: FuncEngine, loops: Loops, world_of_tasks: Any
) -> None:
    world_of_tasks.model.eval()
    loop = loops(world=world_of_tasks)._replace(loss=MeanLoss((1.0, 0.5)))
    assert check(engine, last(loop)) == 3


def test_recorded_steps_go_on_too(loops: Loops) -> None:
    engine = FuncEngine(Recorder(calls=1), KeptSteps())
    assert check(engine, last(loops()) * 3) == 11
    assert engine.recorder is not None
    assert engine.recorder.replays > 0


def test_every_step_is_shown(engine: FuncEngine, loops: Loops) -> None:
    with torch.no_grad():
        outputs(engine, [loops()])
        shown = engine.steps(loops())
    assert len(shown) == STEPS + 1


def test_gradients_flow_through_all_steps(engine: FuncEngine, loops: Loops) -> None:
    loop = loops()
    outputs(engine, [loop])
    found = []
    for each in (engine, FuncEngine()):
        params = {name: p.detach().requires_grad_() for name, p in loop.params.items()}
        output = each(*loop._replace(params=params))
        found.append(torch.autograd.grad(output[0].sum(), list(params.values()), allow_unused=True))
    for one, two in zip(*found, strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    assert engine.kept is not None
    assert engine.kept.found == 0


@pytest.mark.parametrize("steps", [0, 1])
def test_loops_without_an_earlier_step_keep_nothing(
    engine: FuncEngine, loops: Loops, world: Any, make_adaptation: Any, steps: int
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(0.3), steps)
    loop = InnerLoop(world.model, world.params, rates, adaptation, world.episodes, mean_loss)
    assert check(engine, [loop, loop]) == 0


class Halving(MAML):
    """A rule of one's own, which may keep count of something."""


def test_what_is_not_ours_starts_anew(engine: FuncEngine, loops: Loops) -> None:
    adaptation: Adaptation = replace(loops().adaptation, rule=Halving(0.3))
    assert check(engine, last(loops()._replace(adaptation=adaptation))) == 0


def test_dropout_is_drawn_in_every_loop(engine: FuncEngine, make_world: Any, loops: Loops) -> None:
    def models(slot_fields: list[int]) -> dict[str, nn.Module]:
        options: Any = {"embedding_size": 2, "hidden_sizes": (3,), "dropout": 0.5}
        return {name: DeepFM(14, slot_fields, **options) for name in ("a", "b", "c")}

    world = make_world(torch.float64, models=models)
    world.model.train()
    all_loops = last(loops(world=world))
    found = []
    for each in (engine, FuncEngine()):
        torch.manual_seed(3)
        found.append(outputs(each, all_loops))
    for one, two in zip(*found, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert engine.kept is not None
    assert engine.kept.found == 0


# Memory


def test_what_does_not_fit_is_not_kept(loops: Loops) -> None:
    engine = FuncEngine(Recorder(calls=1000), KeptSteps(most=8))
    assert check(engine, last(loops())) == 0


def test_a_state_is_replaced_within_the_limit() -> None:
    kept = KeptSteps(most=8)
    kept.keep([b"one", b"a"], 1, torch.ones(2))
    kept.keep([b"two", b"a"], 1, torch.ones(1))
    assert kept.find([b"two", b"a"]) == (0, None)
    kept.keep([b"one", b"b"], 1, torch.ones(1))
    kept.keep([b"two", b"a"], 1, torch.ones(1))
    assert kept.find([b"one", b"a"]) == (0, None)
    assert kept.find([b"one", b"b"])[0] == kept.find([b"two", b"a"])[0] == 1


def test_what_is_forgotten_starts_anew(engine: FuncEngine, loops: Loops) -> None:
    outputs(engine, [loops()])
    engine.forget()
    assert check(engine, [loops()]) == 0


def test_an_engine_without_states_forgets_nothing() -> None:
    FuncEngine().forget()
    assert FuncEngine().searching().kept is not None

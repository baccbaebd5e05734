"""Recorded inner loops give the numbers of those that run anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from base_models import LR, DeepFM
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine, InnerLoop, Step
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.meta.adapt.touched import as_tree, of_tree
from metaselector.models.kernels.replay import Recorder
from metaselector.models.kernels.trees import flatten, unflatten
from metaselector.models.losses import MeanLoss, mean_loss

RATE = 0.3


def rolled(world: Any) -> Iterable[Any]:
    """The world with its users in other orders, so that only values differ."""
    leaves, spec = flatten(as_tree(world.episodes))
    for by in (0, 1, 2, 0, 1, 2, 0):
        episodes = of_tree(unflatten(spec, iter([leaf.roll(by, 0) for leaf in leaves])))
        yield replace(world, episodes=episodes)


def outputs(engine: Any, world: Any, rates: Any, adaptation: Adaptation, loss: Any) -> list[Any]:
    """For several episodes, with other rates each time."""
    found = []
    with torch.no_grad():
        for i, each in enumerate(rolled(world)):
            scaled = {name: rate * (1 + 0.1 * i) for name, rate in rates.items()}
            found.append(engine(world.model, world.params, scaled, adaptation, each.episodes, loss))
    return found


def check(world: Any, rates: Any, adaptation: Adaptation, loss: Any = mean_loss) -> Recorder:
    recorder = Recorder(calls=1)
    found = outputs(FuncEngine(recorder), world, rates, adaptation, loss)
    expected = outputs(FuncEngine(), world, rates, adaptation, loss)
    for one, two in zip(found, expected, strict=True):
        for part, wanted in zip(one, two, strict=True):
            assert torch.equal(part, wanted)
    return recorder


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_equals_the_loop_that_runs_anew(
    world: Any, steps: int, patterns: tuple[str, ...], make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), steps, patterns)
    recorder = check(world, rates, adaptation)
    assert not recorder.refused
    assert recorder.replays > 0


@pytest.mark.parametrize(
    "rule", [MAML(RATE), MetaSGD(RATE, granularity="scalar"), MetaSGD(RATE, granularity="element")]
)
def test_so_do_other_rules(world: Any, rule: InnerRule, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world, rule, 1)
    recorder = check(world, rates, adaptation)
    assert not recorder.refused
    assert recorder.replays > 0


@pytest.mark.parametrize("settings", [{"half_lives": (1.5, None)}, {"prior_rows": 2.5}])
def test_so_do_weights_of_rows(world: Any, settings: Any, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 2, per_step=True, **settings)
    recorder = check(world, rates, adaptation)
    assert not recorder.refused
    assert recorder.replays > 0


def test_so_do_learned_numbers_and_residuals(world_with_times: Any, make_adaptation: Any) -> None:
    residuals = ResidualAttention(("a", "b"), 0.65, 20.0, 100.0, 0.05, 2.0)
    adaptation, rates = make_adaptation(
        world_with_times, MetaSGD(RATE), 2, per_step=True, learned=True, residuals=residuals
    )
    recorder = check(world_with_times, rates, adaptation)
    assert not recorder.refused
    assert recorder.replays > 0


def test_so_do_models_of_fields(world_of_fields: Any, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world_of_fields, MetaSGD(RATE), 2)
    recorder = check(world_of_fields, rates, adaptation)
    assert not recorder.refused
    assert recorder.replays > 0


def test_so_do_several_tasks_and_a_context(world_of_tasks: Any, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world_of_tasks, MetaSGD(RATE), 2)
    recorder = check(world_of_tasks, rates, adaptation, MeanLoss((1.0, 0.5)))
    assert not recorder.refused
    assert recorder.replays > 0


def test_factored_weights_are_recorded_too(
    world: Any, make_adaptation: Any, steps_taken: Any
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 2)
    recorder = check(world, rates, adaptation)
    assert not recorder.refused
    assert recorder.replays > 0


def test_dropout_is_drawn_as_before(make_world: Any, make_adaptation: Any) -> None:
    world = make_world(torch.float64, models=with_dropout)
    world.model.train()
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 1)
    found, recorder = [], Recorder(calls=1)
    for engine in (FuncEngine(recorder), FuncEngine()):
        torch.manual_seed(3)
        found.append(outputs(engine, world, rates, adaptation, mean_loss))
    assert all("random" in why for why in recorder.refused.values())
    assert recorder.replays == 0
    for one, two in zip(*found, strict=True):
        for part, wanted in zip(one, two, strict=True):
            assert torch.equal(part, wanted)


def with_dropout(slot_fields: list[int]) -> dict[str, nn.Module]:
    options: Any = {"embedding_size": 2, "hidden_sizes": (3,), "dropout": 0.5}
    return {name: DeepFM(14, slot_fields, **options) for name in ("a", "b", "c")}


class Halving(MAML):
    """A rule of one's own, which may look at what it likes."""

    def update(self, params: Any, grads: Any, rates: Any) -> Any:
        return {name: p / 2 for name, p in params.items()}


def test_rules_of_ones_own_run_as_before(world: Any, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world, Halving(RATE), 2)
    recorder = check(world, rates, adaptation)
    assert recorder.replays == 0


class Counting(LR):
    """A model of one's own, whose outputs depend on how often it was called."""

    calls = 0

    def forward(self, batch: Any) -> Any:
        self.calls += 1
        return super().forward(batch) + 0.01 * self.calls


def counting(slot_fields: list[int]) -> dict[str, nn.Module]:
    return {name: Counting(14, slot_fields) for name in ("a", "b", "c")}


def test_models_of_ones_own_run_as_before(make_world: Any, make_adaptation: Any) -> None:
    found, recorder = [], Recorder(calls=0)
    for engine in (FuncEngine(recorder), FuncEngine()):
        world = make_world(torch.float64, models=counting)
        adaptation, rates = make_adaptation(world, MetaSGD(RATE), 1)
        found.append(outputs(engine, world, rates, adaptation, mean_loss))
    for one, two in zip(*found, strict=True):
        assert torch.equal(one.log_positive, two.log_positive)
    assert recorder.replays == 0


def test_loops_with_gradients_run_as_before(world: Any, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 2)
    recorder = Recorder(calls=0)
    output = FuncEngine(recorder)(
        world.model, world.params, rates, adaptation, world.episodes, mean_loss
    )
    assert output.log_positive.requires_grad
    assert recorder.replays == 0


def test_parameters_may_change_between_calls(world: Any, make_adaptation: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 2)
    recording, anew = FuncEngine(Recorder(calls=0)), FuncEngine()
    for step in range(4):
        with torch.no_grad():
            params = {name: p * (1 + 0.1 * step) for name, p in world.params.items()}
            given = world.model, params, rates, adaptation, world.episodes, mean_loss
            for part, wanted in zip(recording(*given), anew(*given), strict=True):
                assert torch.equal(part, wanted)
    assert recording.recorder is not None
    assert recording.recorder.replays > 0


class SlowEngine(Engine):
    def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
        return []


def test_only_the_default_engine_records() -> None:
    assert make_engine("func").recorder is None
    assert make_engine("func").recording().recorder is not None
    engine = SlowEngine()
    assert engine.recording() is engine

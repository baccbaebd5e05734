"""Every engine against the slow loop: losses, predictions and meta-gradients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch

from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.models.losses import MeanLoss
from tests.meta.adapt.engine_runner import RATE, Rates, Runner, meta_gradients, named


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_equals_slow_loop(
    runner: Runner,
    rule: InnerRule,
    steps: int,
    patterns: tuple[str, ...],
    dtype: torch.dtype,
    make_world: Any,
    make_adaptation: Any,
) -> None:
    """Query losses, predictions by the adapted parameters, meta-gradients of theta, phi, alpha."""
    world = make_world(dtype)
    adaptation, rates = make_adaptation(world, rule, steps, patterns)
    output = runner.output(world, adaptation, rates)
    losses = runner.losses_of(output, world)
    predictions = output.log_positive[world.episodes.query.mask.bool()]
    wanted_losses, wanted_predictions = runner.expected(world, adaptation, rates)
    actual = {"losses": losses, "predictions": predictions, **meta_gradients(losses, world, rates)}
    wanted = {
        "losses": wanted_losses,
        "predictions": wanted_predictions,
        **meta_gradients(wanted_losses, world, rates),
    }
    assert actual.keys() == wanted.keys()
    for name, value in wanted.items():
        relative, absolute = (0.0, 1e-10) if dtype == torch.float64 else (1e-5, 0.0)
        if dtype == torch.float32 and name not in ("losses", "predictions"):
            # An element of a gradient may cancel to next to nothing: relative to the largest one.
            absolute = 1e-5 * float(value.detach().abs().max()) + 1e-8
        torch.testing.assert_close(
            actual[name], value, rtol=relative, atol=absolute, msg=partial(named, name)
        )


@pytest.mark.parametrize(
    ("half_lives", "prior_rows"),
    [((), 0.0), ((1.5, None, 0.5), 0.0), ((1.5, None, 0.5), 2.5)],
    ids=["alike", "recent", "shrunk"],
)
@pytest.mark.parametrize(
    "step_rule",
    [
        MAML(RATE),
        MetaSGD(RATE),
        MetaSGD(RATE, granularity="scalar"),
        MetaSGD(RATE, second_order=False),
    ],
    ids=["maml", "tensor", "scalar", "first-order"],
)
def test_rates_and_weights_of_each_step_equal_slow_loop(
    runner: Runner,
    step_rule: InnerRule,
    half_lives: tuple[float | None, ...],
    prior_rows: float,
    patterns: tuple[str, ...],
    world: Any,
    make_adaptation: Any,
) -> None:
    """Query losses and meta-gradients; rates and weights of support rows are each step's own."""
    adaptation, rates = make_adaptation(
        world, step_rule, 3, patterns, half_lives=half_lives, per_step=True, prior_rows=prior_rows
    )
    assert all(rate.shape == (3,) for rate in rates.values())
    losses = runner.losses(world, adaptation, rates)
    wanted_losses, _ = runner.expected(world, adaptation, rates)
    torch.testing.assert_close(losses, wanted_losses, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(named, name)
        )


@pytest.mark.parametrize(
    "settings",
    [
        {"inputs": ("outputs",)},
        {"inputs": ("outputs", "disagreement"), "temperature": 0.5, "uniform_mixing": 0.1},
        {"inputs": ("fields",), "temperature": 2.0, "uniform_mixing": 0.3},
        {"inputs": ("fields", "support-losses")},
    ],
    ids=["outputs", "disagreement", "fields", "support-losses"],
)
def test_other_selectors_equal_slow_loop(
    runner: Runner,
    settings: Mapping[str, Any],
    patterns: tuple[str, ...],
    make_world: Any,
    make_adaptation: Any,
) -> None:
    """Query losses and meta-gradients; without fields, the selector has no table that adapts."""
    world = make_world(torch.float64, **settings)
    assert ("selector.embedding" in world.model.tables) == ("fields" in settings["inputs"])
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), 2, patterns)
    losses = runner.losses(world, adaptation, rates)
    wanted_losses, _ = runner.expected(world, adaptation, rates)
    torch.testing.assert_close(losses, wanted_losses, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(named, name)
        )


@pytest.mark.parametrize("steps", [0, 2])
def test_losses_on_the_support_are_those_of_the_initial_parameters(
    runner: Runner, make_world: Any, make_adaptation: Any, steps: int
) -> None:
    """Also without an inner step; they are the user's own, and nothing stays in the model."""
    world = make_world(torch.float64, inputs=("support-losses",))
    adaptation, rates = make_adaptation(world, MAML(RATE), steps)
    output = runner.output(world, adaptation, rates)
    wanted = runner.reference.adapt_users(
        world.model, world.params, rates, adaptation, world.episodes, runner.loss
    )
    for user, result in enumerate(wanted):
        real = world.episodes.query.mask[user].bool()
        expected = result.output.weights
        torch.testing.assert_close(output.weights[user][real], expected, rtol=0, atol=1e-10)
        assert torch.equal(expected, expected[:1].expand_as(expected))  # the same for all rows
    assert not torch.allclose(output.weights[0, 0], output.weights[1, 0], rtol=0, atol=1e-6)
    assert torch.equal(world.model.selector.support_losses, torch.zeros(3).double())


def assert_equals_slow_loop(
    runner: Runner, world: Any, adaptation: Adaptation, rates: Rates
) -> None:
    output = runner.output(world, adaptation, rates)
    losses = runner.losses_of(output, world)
    wanted_losses, wanted_predictions = runner.expected(world, adaptation, rates)
    predictions = output.log_positive[world.episodes.query.mask.bool()]
    torch.testing.assert_close(predictions, wanted_predictions, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted_losses, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(named, name)
        )


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_models_that_know_their_fields_equal_slow_loop(
    runner: Runner, granularity: Any, world_of_fields: Any, make_adaptation: Any
) -> None:
    """Query losses, predictions, and meta-gradients of theta, phi, alpha."""
    world = world_of_fields
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity), 2)
    assert_equals_slow_loop(runner, world, adaptation, rates)


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_models_of_several_tasks_equal_slow_loop(
    engine: Engine,
    reference: ModuleType,
    granularity: Any,
    world_of_tasks: Any,
    make_adaptation: Any,
) -> None:
    """Query losses, predictions, and meta-gradients; labels that are not observed count nothing."""
    world, runner = world_of_tasks, Runner(engine, reference, MeanLoss((1.0, 0.7)))
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity), 2)
    assert_equals_slow_loop(runner, world, adaptation, rates)

"""What rows tell of a user: their weights by time, shrinkage, and the support's residuals."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.models.losses import MeanLoss
from tests.meta.adapt.conftest import with_times
from tests.meta.adapt.engine_runner import RATE, Rates, Runner, meta_gradients, named

ATTENTION = ResidualAttention(("one", "other"), strength=0.7, prior=0.9, half_life=3.0, gamma=0.5)
WEIGHTS: dict[str, Any] = {
    "half_lives": (None, 2.0),
    "time_decays": (0.4, 1.1),
    "prior_rows": 1.5,
    "per_step": True,
}


def compare(runner: Runner, world: Any, adaptation: Any, rates: Rates) -> None:
    """Query losses and meta-gradients, those of the learned numbers among them."""
    losses = runner.losses(world, adaptation, rates)
    wanted, _ = runner.expected(world, adaptation, rates)
    torch.testing.assert_close(losses, wanted, rtol=0, atol=1e-10)
    actual = meta_gradients(losses, world, rates)
    for name, value in meta_gradients(wanted, world, rates).items():
        torch.testing.assert_close(
            actual[name], value, rtol=0, atol=1e-10, msg=partial(named, name)
        )


@pytest.mark.parametrize("learned", [False, True], ids=["given", "learned"])
@pytest.mark.parametrize(
    "rule", [MetaSGD(RATE), MAML(RATE, second_order=False)], ids=["meta-sgd", "first-order"]
)
def test_weights_by_time_equal_slow_loop(
    runner: Runner, rule: InnerRule, learned: bool, world_with_times: Any, make_adaptation: Any
) -> None:
    settings = WEIGHTS | {"learned": learned}
    adaptation, rates = make_adaptation(world_with_times, rule, **settings)
    assert learned == ("support/half_life" in rates)
    compare(runner, world_with_times, adaptation, rates)


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("patterns", [("*",), ("selector.*",)], ids=["joint", "simplified"])
def test_attention_over_residuals_equals_slow_loop(
    runner: Runner, steps: int, patterns: Any, world_with_times: Any, make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(
        world_with_times, MetaSGD(RATE), steps, patterns, residuals=ATTENTION
    )
    assert sum(rate.numel() for name, rate in rates.items() if "residuals/" in name) == 6
    compare(runner, world_with_times, adaptation, rates)


def test_attention_over_residuals_of_several_tasks(
    runner: Runner, world_of_tasks: Any, make_adaptation: Any
) -> None:
    world = with_times(world_of_tasks)
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), residuals=ATTENTION)
    compare(replace(runner, loss=MeanLoss((1.0, 0.7))), world, adaptation, rates)


def test_without_support_nothing_is_corrected(
    runner: Runner, world_with_times: Any, make_adaptation: Any
) -> None:
    """The third user has no support: every prediction is that of not adapting."""
    world = world_with_times
    adaptation, rates = make_adaptation(world, MetaSGD(RATE), residuals=ATTENTION, **WEIGHTS)
    found = runner.output(world, adaptation, rates)
    plain = runner.output(world, replace(adaptation.with_steps(0), residuals=None), rates)
    torch.testing.assert_close(found.log_positive[2], plain.log_positive[2], rtol=0, atol=1e-12)
    assert not torch.isclose(found.log_positive[0], plain.log_positive[0]).any()


def test_gradients_of_the_learned_numbers(
    runner: Runner, world_with_times: Any, make_adaptation: Any
) -> None:
    settings = WEIGHTS | {"learned": True}
    adaptation, rates = make_adaptation(
        world_with_times, MetaSGD(RATE), residuals=ATTENTION, **settings
    )
    numbers = [name for name in rates if "/" in name]

    def losses(*values: Tensor) -> Tensor:
        now = dict(rates) | dict(zip(numbers, values, strict=True))
        return runner.losses(world_with_times, adaptation, now)

    assert torch.autograd.gradcheck(losses, [rates[name] for name in numbers])

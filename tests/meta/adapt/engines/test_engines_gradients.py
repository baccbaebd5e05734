"""Gradients through every engine: of whole episodes, and none where nothing is touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine
from metaselector.meta.adapt.rules import MetaSGD
from tests.meta.adapt.engine_runner import RATE, Runner, logit_loss, meta_gradients, tiny_episode


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_untouched_table_rows_get_exactly_no_gradient(
    runner: Runner, world: Any, make_adaptation: Any, granularity: Any
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity))
    grads = meta_gradients(runner.losses(world, adaptation, rates), world, rates)
    episodes = world.episodes
    touched = torch.cat([episodes.support.batch.ids.flatten(), episodes.query.batch.ids.flatten()])
    for name in world.model.tables:
        untouched = torch.ones(len(world.params[name]), dtype=torch.bool)
        untouched[touched.unique()] = False
        assert untouched.any()
        assert not untouched.all()
        assert grads[name][~untouched].any()
        for grad in (grads[name], grads[f"rate of {name}"]):
            if len(grad) == len(untouched):
                assert not grad[untouched].any()


def test_padding_row_gets_exactly_no_gradient(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    grads = meta_gradients(runner.losses(world, adaptation, rates), world, rates)
    assert (world.episodes.support.batch.ids == 0).any()
    for name in world.model.tables:
        assert not grads[name][0].any()


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
@pytest.mark.parametrize("granularity", ["scalar", "tensor", "element"])
def test_gradients_of_a_whole_episode_equal_finite_differences(
    check: Callable[..., bool], granularity: Any, engine: Engine
) -> None:
    """A base model by itself is adaptable too: its tables are declared the same way."""
    model, episodes = tiny_episode()
    rule = MetaSGD(RATE, granularity=granularity)
    generator = torch.Generator().manual_seed(2)
    params = {
        name: torch.randn(p.shape, generator=generator, dtype=torch.float64).requires_grad_()
        for name, p in model.named_parameters()
    }
    rates = {name: rate.detach().requires_grad_() for name, rate in rule.init(params).items()}
    adaptation = Adaptation(rule, 2, tuple(params))

    def episode_loss(*leaves: Tensor) -> Tensor:
        theta = dict(zip(params, leaves, strict=False))
        alpha = dict(zip(rates, leaves[len(params) :], strict=True))
        output = engine(model, theta, alpha, adaptation, episodes, logit_loss)
        return logit_loss(output, episodes.query.labels, episodes.query.mask)

    assert check(episode_loss, (*params.values(), *rates.values()))

"""The default engine gives the same numbers with weights that it never forms."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from metaselector.meta.adapt.contract import InnerLoop, Loss
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from tests.meta.adapt.engines.factored_layers import RATE, Steps, close


def with_gradients(
    losses: Tensor, predictions: Tensor, leaves: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    options = {"allow_unused": True, "materialize_grads": True}
    grads = torch.autograd.grad(losses.sum(), list(leaves.values()), **options)
    named = dict(zip(leaves, grads, strict=True))
    return {"losses": losses, "predictions": predictions, **named}


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("names", [("*",), ("*.weight",)], ids=["all", "no biases"])
def test_engine_equals_slow_loop(
    steps_taken: Steps,
    reference: ModuleType,
    rule: InnerRule,
    steps: int,
    names: tuple[str, ...],
    loss: Loss,
    world: Any,
    make_adaptation: Any,
) -> None:
    """As in test_engines_equal_slow_loop, where the layers are too small to be factored."""
    adaptation, rates = make_adaptation(world, rule, steps, names)
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    output, query = FuncEngine()(*arguments), world.episodes.query
    assert len(steps_taken) == (0 if rule_is_by_element(rule) else 5 * steps)
    users = reference.adapt_users(*arguments)
    leaves = {**world.params, **{f"rate of {name}": rate for name, rate in rates.items()}}
    actual = with_gradients(
        vmap(loss)(output, query.labels, query.mask), output.log_positive[query.mask.bool()], leaves
    )
    expected = with_gradients(
        reference.query_losses(users, world.episodes, loss),
        torch.cat([user.output.log_positive for user in users]),
        leaves,
    )
    for name, value in expected.items():
        close(actual[name], value, name)


def rule_is_by_element(rule: InnerRule) -> bool:
    return isinstance(rule, MetaSGD) and rule.granularity == "element"


def test_adapted_parameters_equal_slow_loop(
    steps_taken: Steps,
    reference: ModuleType,
    rule: InnerRule,
    loss: Loss,
    world: Any,
    make_adaptation: Any,
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2)
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    adapted = FuncEngine().adapt(InnerLoop(*arguments))
    assert bool(steps_taken) != rule_is_by_element(rule)
    assert adapted.own.keys() == world.params.keys()
    for user, (expected, _) in enumerate(reference.adapt_users(*arguments)):
        for name in expected.keys() - world.model.tables:
            close(adapted.own[name][user], expected[name], name)


@pytest.mark.parametrize("steps", [1, 3])
def test_no_gradients_and_frozen_parameters_give_the_same_numbers(
    steps_taken: Steps,
    rule: InnerRule,
    steps: int,
    loss: Loss,
    world: Any,
    make_adaptation: Any,
) -> None:
    adaptation, rates = make_adaptation(world, rule, steps)
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    expected = FuncEngine()(*arguments)
    with torch.no_grad():
        without = FuncEngine()(*arguments)
    assert not without.log_positive.requires_grad
    for p in world.params.values():
        p.requires_grad_(False)
    frozen = FuncEngine()(*arguments)
    assert bool(steps_taken) != rule_is_by_element(rule)
    for a, b, c in zip(expected, without, frozen, strict=True):
        close(b, a.detach())
        close(c.detach(), a.detach())
    total = [output.log_positive.sum() for output in (frozen, expected)]
    close(*(torch.autograd.grad(x, list(rates.values())) for x in total))


class Doubled(MAML):
    """A rule of one's own, which happens to be a MAML."""

    def update(self, params: Any, grads: Any, rates: Any) -> dict[str, Tensor]:
        return {name: p - 2 * rates[name] * grads[name] for name, p in params.items()}


def test_other_rules_get_the_weights_themselves(
    steps_taken: Steps, reference: ModuleType, loss: Loss, world: Any, make_adaptation: Any
) -> None:
    adaptation, rates = make_adaptation(world, Doubled(RATE))
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    output = FuncEngine()(*arguments).log_positive[world.episodes.query.mask.bool()]
    assert not steps_taken
    users = reference.adapt_users(*arguments)
    close(output, torch.cat([user.output.log_positive for user in users]))

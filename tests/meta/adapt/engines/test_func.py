"""What only the func engine has: adapted parameters to look at, and local tables."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import InnerLoop, Loss
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML, InnerRule
from metaselector.models.losses import mean_loss


def test_adapted_parameters_equal_slow_loop(
    reference: ModuleType,
    world: Any,
    rule: InnerRule,
    patterns: tuple[str, ...],
    make_adaptation: Any,
    loss: Loss,
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2, patterns)
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    adapted = FuncEngine().adapt(InnerLoop(*arguments))
    for user, (expected, _) in enumerate(reference.adapt_users(*arguments)):
        full = full_parameters(world, adapted, user)
        assert full.keys() == expected.keys()
        for name, p in expected.items():
            torch.testing.assert_close(
                full[name], p, rtol=0, atol=1e-10, msg=f"{name}: {{}}".format
            )


def full_parameters(world: Any, adapted: Any, user: int) -> dict[str, Tensor]:
    """One user's parameters with whole tables: the touched rows written over the initial ones."""
    full = dict(adapted.shared)
    for name, own in adapted.own.items():
        full[name] = own[user]
        if name in world.model.tables:
            full[name] = world.params[name].index_copy(0, *_distinct(adapted.rows[user], own[user]))
    return {name: full[name] for name in world.params}


def _distinct(rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Leave out the padding that follows the ascending ids."""
    count = 1 + int((rows[1:] > rows[:-1]).sum())
    return rows[:count], values[:count]


def test_a_table_that_is_not_passed_is_an_error(world: Any) -> None:
    """Its rows could not be remapped: reading the model's own table would be silently wrong."""
    params = {k: v for k, v in world.params.items() if k != "selector.embedding"}
    rule = MAML(0.3)
    names = ("base_models.fm.embedding.weight",)
    rates = rule.init({name: params[name] for name in names})
    with pytest.raises(KeyError, match=r"selector.embedding"):
        FuncEngine()(
            world.model, params, rates, Adaptation(rule, 1, names), world.episodes, mean_loss
        )

"""What holds of every engine: one user does not touch another, nor the engine its inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.func import functional_call

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from tests.meta.adapt.engine_runner import RATE, Runner, users_of


@pytest.mark.parametrize("user", [0, 1, 2])
def test_adapting_one_user_changes_nothing_for_the_next(
    runner: Runner, world: Any, make_adaptation: Any, user: int
) -> None:
    """On the model's own live parameters, as in training."""
    with torch.no_grad():
        for name, p in world.model.named_parameters():
            p.copy_(world.params[name])
    world.params.update(world.model.named_parameters())
    before = {name: p.detach().clone() for name, p in world.model.named_parameters()}
    adaptation, rates = make_adaptation(world, MetaSGD(10 * RATE), 3)
    others = users_of(world.episodes, [u for u in range(3) if u != user])
    expected = runner.output(world, adaptation, rates, others)
    unadapted = world.model(world.episodes.query.batch)

    runner.output(world, adaptation, rates, users_of(world.episodes, [user]))

    for name, p in world.model.named_parameters():
        assert p is world.params[name]
        assert torch.equal(p, before[name]), name
        assert p.grad is None
    for a, b in zip(runner.output(world, adaptation, rates, others), expected, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(world.model(world.episodes.query.batch), unadapted, strict=True):
        assert torch.equal(a, b)


def test_user_without_support_is_predicted_with_the_initial_parameters(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    output = runner.output(world, *make_adaptation(world, MAML(RATE)))
    alone = users_of(world.episodes, [2])
    unadapted = functional_call(world.model, world.params, (alone.query.batch,))
    torch.testing.assert_close(output.log_positive[2], unadapted.log_positive[0])


def test_adaptation_changes_the_prediction_of_a_user_with_support(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    """Guards the tests above against an engine that never adapts."""
    rows = []  # not their mean, in which changes of opposite sign cancel
    for steps in (0, 1):
        output = runner.output(world, *make_adaptation(world, MAML(RATE), steps))
        rows.append(output.log_positive[0])
    assert (rows[0] - rows[1]).abs().max() > 1e-3


@pytest.mark.parametrize("user", [0, 1, 2])
def test_one_user_alone_equals_the_same_user_in_a_batch(
    runner: Runner, world: Any, make_adaptation: Any, user: int
) -> None:
    run = partial(
        runner.output, world, *make_adaptation(world, MetaSGD(RATE, granularity="element"))
    )
    for a, b in zip(run(users_of(world.episodes, [user])), run(), strict=True):
        torch.testing.assert_close(a[0], b[user], rtol=0, atol=1e-12)


def test_order_of_users_does_not_matter(runner: Runner, world: Any, make_adaptation: Any) -> None:
    run = partial(runner.output, world, *make_adaptation(world, MetaSGD(RATE)))
    order = [2, 0, 1]
    for a, b in zip(run(users_of(world.episodes, order)), run(), strict=True):
        torch.testing.assert_close(a, b[order], rtol=0, atol=1e-12)


def test_order_of_support_rows_does_not_matter(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    support, order = world.episodes.support, [3, 1, 0, 2]
    shuffled = Rows(
        Batch(support.batch.ids[:, order], support.batch.values[:, order]),
        support.labels[:, order],
        support.mask[:, order],
    )
    run = partial(runner.output, world, *make_adaptation(world, MetaSGD(RATE)))
    for a, b in zip(run(Episodes(shuffled, world.episodes.query)), run(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("no_grad", [False, True])
def test_nothing_that_was_passed_in_changes(
    runner: Runner, world: Any, make_adaptation: Any, no_grad: bool
) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    inputs = {
        **world.params,
        **{f"rate of {name}": rate for name, rate in rates.items()},
        **{f"model's {name}": p for name, p in world.model.state_dict().items()},
        "support ids": world.episodes.support.batch.ids,
        "query ids": world.episodes.query.batch.ids,
    }
    before = {name: value.detach().clone() for name, value in inputs.items()}
    with torch.set_grad_enabled(not no_grad):
        runner.output(world, adaptation, rates)
    for name, value in inputs.items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in world.params.values())


def test_evaluation_without_gradients_gives_the_same_numbers(
    runner: Runner, world: Any, make_adaptation: Any, rule: InnerRule, patterns: tuple[str, ...]
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2, patterns)
    expected = runner.output(world, adaptation, rates)
    with torch.no_grad():
        output = runner.output(world, adaptation, rates)
    for a, b in zip(output, expected, strict=True):
        assert not a.requires_grad
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=1e-12)


def test_frozen_parameters_can_adapt_where_only_rates_are_learned(
    runner: Runner, world: Any, make_adaptation: Any
) -> None:
    for p in world.params.values():
        p.requires_grad_(False)
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    losses = runner.losses(world, adaptation, rates)
    grads = torch.autograd.grad(losses.sum(), list(rates.values()))
    for p in world.params.values():
        p.requires_grad_(True)
    expected, _ = runner.expected(world, adaptation, rates)
    wanted = torch.autograd.grad(expected.sum(), list(rates.values()))
    torch.testing.assert_close(grads, wanted, rtol=0, atol=1e-10)

"""The func engine against its slow twin, and what must hold of any engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from base_models import FM
from metaselector.adapt.engine import Adaptation, select_names
from metaselector.adapt.func import FuncEngine
from metaselector.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.data.batch import Batch
from metaselector.data.episodes import Episodes, Rows
from metaselector.mixture import Mixed, mean_loss

ENGINE = FuncEngine()
RATE = 0.3
RULES: dict[str, InnerRule] = {
    "maml": MAML(RATE),
    "first-order-maml": MAML(RATE, second_order=False),
    "meta-sgd-scalar": MetaSGD(RATE, granularity="scalar"),
    "meta-sgd-tensor": MetaSGD(RATE, granularity="tensor"),
    "meta-sgd-element": MetaSGD(RATE, granularity="element"),
    "first-order-meta-sgd-tensor": MetaSGD(RATE, second_order=False),
    "first-order-meta-sgd-element": MetaSGD(RATE, granularity="element", second_order=False),
}
PATTERNS = {
    "all": ("*",),
    "selector": ("selector.*",),
    "last-layers": ("*.bias", "selector.output.*"),
    "some-tables": ("base_models.fm.embedding.weight", "selector.output.*"),
}
ENTROPY = 0.1


def loss(output: Mixed, labels: Tensor, mask: Tensor) -> Tensor:
    """The training loss, and a term through the weights so that every output matters."""
    entropy = -(output.weights * output.weights.log()).sum(-1)
    count = mask.sum().clamp_min(1)
    return mean_loss(output, labels, mask) + ENTROPY * (entropy * mask).sum() / count


def make_adaptation(world: Any, rule: InnerRule, steps: int = 2, patterns: Any = ("*",)) -> Any:
    """An adaptation and slightly uneven rates for it, as leaves."""
    names = select_names(world.params, patterns)
    generator = torch.Generator().manual_seed(1)
    rates = {
        name: (rate + 0.1 * torch.rand(rate.shape, generator=generator, dtype=rate.dtype))
        .detach()
        .requires_grad_()
        for name, rate in rule.init({name: world.params[name] for name in names}).items()
    }
    return Adaptation(rule, steps, names), rates


def engine_losses(world: Any, adaptation: Adaptation, rates: Mapping[str, Tensor]) -> Tensor:
    """Mean query loss of every user, ``[U]``."""
    output = ENGINE(world.model, world.params, rates, adaptation, world.episodes, loss)
    query = world.episodes.query
    return torch.stack(
        [
            loss(Mixed(*(part[u] for part in output)), query.labels[u], query.mask[u])
            for u in range(len(query.labels))
        ]
    )


def reference_losses(
    reference: ModuleType, world: Any, adaptation: Adaptation, rates: Mapping[str, Tensor]
) -> Tensor:
    results = reference.adapt_users(
        world.model, world.params, rates, adaptation, world.episodes, loss
    )
    return reference.query_losses(results, world.episodes, loss)


def meta_gradients(losses: Tensor, world: Any, rates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    leaves = {**world.params, **{f"rate of {name}": rate for name, rate in rates.items()}}
    grads = torch.autograd.grad(
        losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, grads, strict=True))


def assert_equal_all(
    actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], **tol: float
) -> None:
    assert actual.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], **tol, msg=partial(_named, name))


def _named(name: str, message: str) -> str:
    return f"{name}: {message}"


def users_of(episodes: Episodes, users: list[int]) -> Episodes:
    def pick(rows: Rows) -> Rows:
        return Rows(
            Batch(rows.batch.ids[users], rows.batch.values[users]),
            rows.labels[users],
            rows.mask[users],
        )

    return Episodes(pick(episodes.support), pick(episodes.query))


@pytest.mark.parametrize("patterns", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize(
    ("rule", "steps"), [("maml", 0)] + [(rule, steps) for rule in RULES for steps in (1, 3)]
)
def test_equals_slow_loop_in_float64(
    reference: ModuleType, world: Any, rule: str, steps: int, patterns: tuple[str, ...]
) -> None:
    """Query losses, and meta-gradients for theta, phi and alpha."""
    adaptation, rates = make_adaptation(world, RULES[rule], steps, patterns)
    losses = engine_losses(world, adaptation, rates)
    expected = reference_losses(reference, world, adaptation, rates)
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-10)
    assert_equal_all(
        meta_gradients(losses, world, rates),
        meta_gradients(expected, world, rates),
        rtol=0,
        atol=1e-10,
    )


@pytest.mark.parametrize("patterns", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_adapted_parameters_equal_slow_loop(
    reference: ModuleType, world: Any, rule: InnerRule, patterns: tuple[str, ...]
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2, patterns)
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    adapted = ENGINE.adapt(*arguments)
    for user, (expected, _) in enumerate(reference.adapt_users(*arguments)):
        assert_equal_all(full_parameters(world, adapted, user), expected, rtol=0, atol=1e-10)


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


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_equals_slow_loop_in_float32(
    reference: ModuleType, make_world: Callable[[torch.dtype], Any], rule: InnerRule
) -> None:
    world = make_world(torch.float32)
    adaptation, rates = make_adaptation(world, rule)
    losses = engine_losses(world, adaptation, rates)
    expected = reference_losses(reference, world, adaptation, rates)
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)
    actual, wanted = (meta_gradients(value, world, rates) for value in (losses, expected))
    for name, grad in wanted.items():
        scale = float(grad.abs().max())
        torch.testing.assert_close(actual[name], grad, rtol=1e-5, atol=1e-5 * scale + 1e-8)


def test_user_without_support_is_predicted_with_the_initial_parameters(world: Any) -> None:
    adaptation, rates = make_adaptation(world, MAML(RATE))
    output = ENGINE(world.model, world.params, rates, adaptation, world.episodes, loss)
    alone = users_of(world.episodes, [2])
    unadapted = torch.func.functional_call(world.model, world.params, (alone.query.batch,))
    torch.testing.assert_close(output.log_positive[2], unadapted.log_positive[0])


def test_adaptation_changes_the_prediction_of_a_user_with_support(world: Any) -> None:
    """Guards the tests above against an engine that never adapts."""
    rows = []  # not their mean, in which changes of opposite sign cancel
    for steps in (0, 1):
        adaptation, rates = make_adaptation(world, MAML(RATE), steps)
        output = ENGINE(world.model, world.params, rates, adaptation, world.episodes, loss)
        rows.append(output.log_positive[0])
    assert (rows[0] - rows[1]).abs().max() > 1e-3


@pytest.mark.parametrize("user", [0, 1, 2])
def test_one_user_alone_equals_the_same_user_in_a_batch(world: Any, user: int) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity="element"))
    run = partial(ENGINE, world.model, world.params, rates, adaptation, loss=loss)
    together = run(episodes=world.episodes)
    alone = run(episodes=users_of(world.episodes, [user]))
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a[0], b[user], rtol=0, atol=1e-12)


def test_order_of_users_does_not_matter(world: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    run = partial(ENGINE, world.model, world.params, rates, adaptation, loss=loss)
    order = [2, 0, 1]
    shuffled = run(episodes=users_of(world.episodes, order))
    for a, b in zip(shuffled, run(episodes=world.episodes), strict=True):
        torch.testing.assert_close(a, b[order], rtol=0, atol=1e-12)


def test_order_of_support_rows_does_not_matter(world: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    support, order = world.episodes.support, [3, 1, 0, 2]
    shuffled = Rows(
        Batch(support.batch.ids[:, order], support.batch.values[:, order]),
        support.labels[:, order],
        support.mask[:, order],
    )
    run = partial(ENGINE, world.model, world.params, rates, adaptation, loss=loss)
    reordered = run(episodes=Episodes(shuffled, world.episodes.query))
    for a, b in zip(reordered, run(episodes=world.episodes), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("no_grad", [False, True])
def test_nothing_that_was_passed_in_changes(world: Any, no_grad: bool) -> None:
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
        ENGINE(world.model, world.params, rates, adaptation, world.episodes, loss)
    for name, value in inputs.items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in world.params.values())


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("patterns", PATTERNS.values(), ids=PATTERNS)
def test_evaluation_without_gradients_gives_the_same_numbers(
    world: Any, rule: InnerRule, patterns: tuple[str, ...]
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2, patterns)
    arguments = (world.model, world.params, rates, adaptation, world.episodes, loss)
    expected = ENGINE(*arguments)
    with torch.no_grad():
        output = ENGINE(*arguments)
    for a, b in zip(output, expected, strict=True):
        assert not a.requires_grad
        torch.testing.assert_close(a, b.detach(), rtol=0, atol=1e-12)


def test_frozen_parameters_can_adapt_where_only_rates_are_learned(
    reference: ModuleType, world: Any
) -> None:
    for p in world.params.values():
        p.requires_grad_(False)
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    losses = engine_losses(world, adaptation, rates)
    grads = torch.autograd.grad(losses.sum(), list(rates.values()))
    for p in world.params.values():
        p.requires_grad_(True)
    expected = torch.autograd.grad(
        reference_losses(reference, world, adaptation, rates).sum(), list(rates.values())
    )
    torch.testing.assert_close(grads, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_untouched_table_rows_get_exactly_no_gradient(world: Any, granularity: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE, granularity=granularity))
    grads = meta_gradients(engine_losses(world, adaptation, rates), world, rates)
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


def test_padding_row_gets_exactly_no_gradient(world: Any) -> None:
    adaptation, rates = make_adaptation(world, MetaSGD(RATE))
    grads = meta_gradients(engine_losses(world, adaptation, rates), world, rates)
    assert (world.episodes.support.batch.ids == 0).any()
    for name in world.model.tables:
        assert not grads[name][0].any()


def tiny_episode() -> tuple[FM, Episodes]:
    """One FM with 13 parameters and two users."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FM(4, [0, 1], embedding_size=2).double()
    support = Rows(
        Batch(torch.tensor([[[1, 2], [1, 3]], [[2, 3], [0, 0]]]), torch.ones(2, 2, 2).double()),
        torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double(),
        torch.tensor([[1.0, 1.0], [1.0, 0.0]]).double(),
    )
    support.batch.values[1, 1] = 0
    query = Rows(
        Batch(torch.tensor([[[2, 3]], [[1, 2]]]), torch.ones(2, 1, 2).double()),
        torch.tensor([[0.0], [1.0]]).double(),
        torch.ones(2, 1).double(),
    )
    return model, Episodes(support, query)


def logit_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    loss = torch.nn.functional.softplus(logits) - labels * logits
    return (loss * mask).sum() / mask.sum().clamp_min(1)


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
@pytest.mark.parametrize("granularity", ["scalar", "tensor", "element"])
def test_gradients_of_a_whole_episode_equal_finite_differences(
    check: Callable[..., bool], granularity: Any
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
        output = ENGINE(model, theta, alpha, adaptation, episodes, logit_loss)
        return logit_loss(output, episodes.query.labels, episodes.query.mask)

    assert check(episode_loss, (*params.values(), *rates.values()))


def test_a_table_that_is_not_passed_is_an_error(world: Any) -> None:
    """Its rows could not be remapped: reading the model's own table would be silently wrong."""
    params = {k: v for k, v in world.params.items() if k != "selector.embedding"}
    rule = MAML(RATE)
    names = ("base_models.fm.embedding.weight",)
    rates = rule.init({name: params[name] for name in names})
    with pytest.raises(KeyError, match=r"selector.embedding"):
        ENGINE(world.model, params, rates, Adaptation(rule, 1, names), world.episodes, mean_loss)

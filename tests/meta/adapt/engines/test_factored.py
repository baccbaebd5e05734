"""Weights that are never formed give the numbers of those that are."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import InnerLoop, Loss
from metaselector.meta.adapt.engines import func
from metaselector.meta.adapt.engines.factored import FactoredLinears, UserWeights, factorable
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.models.kernels.intercept import Intercept, UnexpectedUse

USERS, IN, OUT = 3, 4, 2
RATE = 0.3
Steps = list[UserWeights]


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def close(actual: Any, expected: Any, name: str = "") -> None:
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=1e-10, msg=lambda message: f"{name}: {message}"
    )


def changes(steps: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Rates, inputs and derivatives of steps on 1, 2, ... rows."""
    return [
        (
            torch.tensor([RATE * rows], dtype=torch.float64),
            random(USERS, rows, IN, seed=rows),
            random(USERS, rows, OUT, seed=10 + rows),
        )
        for rows in range(1, steps + 1)
    ]


def weights_after(steps: int) -> UserWeights:
    weights = UserWeights(random(OUT, IN))
    for change in changes(steps):
        weights = weights.step(*change)
    return weights


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_applied_weights_equal_formed_ones(steps: int) -> None:
    weights, expected = weights_after(steps), random(OUT, IN).expand(USERS, OUT, IN)
    for rate, inputs, derivatives in changes(steps):
        expected = expected - rate * torch.einsum("uni,uno->uoi", inputs, derivatives)
    close(weights.formed(USERS), expected)
    inputs = random(USERS, 5, IN, seed=7)
    close(weights.apply(inputs), torch.einsum("uoi,uni->uno", expected, inputs))


@pytest.mark.parametrize("bias", [None, "shared", "own"])
@pytest.mark.parametrize("own_input", [False, True])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0, 2)], ids=str)
def test_layers_equal_those_with_formed_weights(
    bias: str | None, own_input: bool, leading: tuple[int, ...]
) -> None:
    weights = weights_after(2)
    linears = FactoredLinears({"layer": weights}, USERS)
    inputs = random(*([USERS] if own_input else []), *leading, IN, seed=7)
    biases = None if bias is None else random(*([USERS] if bias == "own" else []), OUT, seed=8)
    axes = 0 if own_input else None, 0 if bias == "own" else None

    def layer(_: Tensor, weight: Tensor, inputs: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(inputs, weight, bias)

    someone, formed = torch.zeros(USERS), weights.formed(USERS)
    with Intercept(linears.handlers):
        actual = vmap(layer, (0, None, *axes))(someone, weights.start, inputs, biases)
        other = vmap(layer, (0, 0, *axes))(someone, formed, inputs, biases)
    close(actual, vmap(layer, (0, 0, *axes))(someone, formed, inputs, biases))
    close(actual, other)  # a weight that is not factored
    (use,) = linears.uses()
    assert use.name == "layer"
    assert use.outputs.shape == (*use.inputs.shape[:2], OUT)
    assert not linears.uses()


@pytest.mark.parametrize("place", ["input", "bias"])
def test_a_weight_that_is_no_weight_here_is_unexpected(place: str) -> None:
    start = random(IN, IN)
    linears = FactoredLinears({"layer": UserWeights(start)}, USERS)
    arguments = {"input": random(IN), "weight": random(IN, IN), "bias": None, place: start}
    with pytest.raises(UnexpectedUse, match="layer"):
        linears.linear(**arguments)


@pytest.mark.parametrize(("rows", "expected"), [(64, {"weight"}), (65, set())])
def test_factorable_layers_have_at_least_half_as_many_weights_as_factors(
    rows: int, expected: set[str]
) -> None:
    """64 * 64 weights, and 64 + 64 factors a row."""
    assert factorable(nn.Linear(64, 64), rows) == expected


def test_factorable_layers_are_linear_and_nothing_more() -> None:
    class Other(nn.Linear):
        """Its forward could be anything."""

    model = nn.ModuleDict(
        {"a": nn.Sequential(nn.Linear(8, 8), nn.Bilinear(8, 8, 8)), "b": Other(8, 8)}
    )
    assert factorable(model, 1) == {"a.0.weight"}


def all_linear(model: nn.Module, rows: int) -> set[str]:
    """In place of factorable: whatever the size."""
    modules = model.named_modules()
    return {f"{name}.weight" for name, module in modules if type(module) is nn.Linear}


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """All linear layers are factored; their steps."""
    return list_steps(monkeypatch, all_linear)


def list_steps(monkeypatch: pytest.MonkeyPatch, which: Callable[..., set[str]]) -> Steps:
    steps: Steps = []
    step = UserWeights.step

    def listing(self: UserWeights, *arguments: Tensor) -> UserWeights:
        steps.append(self)
        return step(self, *arguments)

    monkeypatch.setattr(UserWeights, "step", listing)
    monkeypatch.setattr(func, "factorable", which)
    return steps


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


class Layer(nn.Module):
    """One linear layer, used in any way."""

    tables: frozenset[str] = frozenset()

    def __init__(self, use: Callable[[nn.Linear, Batch], Tensor], bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(IN, IN, bias=bias, dtype=torch.float64)
        self.use = use

    def forward(self, batch: Batch) -> Tensor:
        return self.use(self.layer, batch).sum(-1)


def without_gradient(layer: nn.Linear, batch: Batch) -> Tensor:
    with torch.no_grad():
        constant = layer(batch.values)
    return layer(batch.values) * constant


STILL_FACTORED: dict[str, Callable[[nn.Linear, Batch], Tensor]] = {
    "once": lambda layer, batch: layer(batch.values),
    "twice": lambda layer, batch: layer(torch.tanh(layer(batch.values))),
    "row by row": lambda layer, batch: torch.stack([layer(row) for row in batch.values]),
    "no rows": lambda layer, batch: layer(batch.values) + layer(batch.values[:0]).sum(),
    "changed in place": lambda layer, batch: layer(layer(batch.values).mul_(2)).relu_(),
    "detached": lambda layer, batch: layer(batch.values) * layer(batch.values).detach(),
    "without gradient": without_gradient,
}
FORMED: dict[str, Callable[[nn.Linear, Batch], Tensor]] = {
    "regularised": lambda layer, batch: layer(batch.values) + layer.weight.square().sum(),
    "transposed": lambda layer, batch: F.linear(torch.tanh(layer(batch.values)), layer.weight.T),
    "product": lambda layer, batch: layer(batch.values @ layer.weight),
    "input": lambda layer, batch: layer(batch.values) + F.linear(layer.weight, layer.weight).mean(),
    "embedding": lambda layer, batch: (
        layer(batch.values) + F.embedding(batch.ids[..., 0], layer.weight)
    ),
    "embedding bag": lambda layer, batch: (
        layer(batch.values)
        + F.embedding_bag(batch.ids, layer.weight, mode="sum", per_sample_weights=batch.values)
    ),
}


def episodes_of(support: int) -> Episodes:
    def rows(count: int, seed: int) -> Rows:
        values = random(USERS, count, IN, seed=seed)
        labels = (values.sum(-1) > 0).double()
        return Rows(Batch((values > 0).long(), values), labels, torch.ones_like(labels))

    return Episodes(rows(support, 1), rows(3, 2))


def logit_loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    return ((F.softplus(logits) - labels * logits) * mask).mean()


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("use", [*STILL_FACTORED, *FORMED])
def test_layers_used_in_other_ways(
    steps_taken: Steps, use: str, bias: bool, reference: ModuleType
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Layer({**STILL_FACTORED, **FORMED}[use], bias)
    params, rule = dict(model.named_parameters()), MetaSGD(RATE)
    rates = {name: rate.requires_grad_() for name, rate in rule.init(params).items()}
    adaptation = Adaptation(rule, 2, tuple(params))
    arguments = (model, params, rates, adaptation, episodes_of(4), logit_loss)
    actual = FuncEngine()(*arguments)
    assert bool(steps_taken) == (use in STILL_FACTORED)
    expected = torch.stack([user.output for user in reference.adapt_users(*arguments)])
    close(actual, expected)
    leaves = [*params.values(), *rates.values()]
    close(*(torch.autograd.grad(x.square().sum(), leaves) for x in (actual, expected)))


@pytest.mark.parametrize(
    ("rows", "steps", "expected"), [(4, 1, 1), (2, 2, 2), (5, 1, 0), (2, 3, 0)]
)
def test_layers_are_factored_where_all_steps_together_have_few_rows(
    monkeypatch: pytest.MonkeyPatch, rows: int, steps: int, expected: int
) -> None:
    taken = list_steps(monkeypatch, factorable)
    model = Layer(STILL_FACTORED["once"])
    params, rule = dict(model.named_parameters()), MAML(RATE)
    adaptation = Adaptation(rule, steps, tuple(params))
    FuncEngine()(model, params, rule.init(params), adaptation, episodes_of(rows), logit_loss)
    assert len(taken) == expected


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


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("use", ["once", "regularised"])
def test_memory_is_given_back_with_the_results(monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    monkeypatch.setattr(func, "factorable", all_linear)
    memory = np.ones((IN, IN))
    alive = weakref.ref(memory)
    params = {"layer.weight": torch.from_numpy(memory).requires_grad_()}
    del memory
    model, rule = Layer({**STILL_FACTORED, **FORMED}[use], bias=False), MAML(RATE)
    adaptation = Adaptation(rule, 2, tuple(params))
    rates = rule.init(params)
    output = FuncEngine()(model, params, rates, adaptation, episodes_of(2), logit_loss)
    output.sum().backward()
    assert alive() is not None
    del params, output
    assert alive() is None

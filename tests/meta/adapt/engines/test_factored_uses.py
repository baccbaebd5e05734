"""A linear layer may be used in any way; where its weight must be formed, it is."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines import func
from metaselector.meta.adapt.engines.factored import factorable
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML, MetaSGD
from tests.meta.adapt.engines.factored_layers import (
    IN,
    RATE,
    USERS,
    Steps,
    all_linear,
    close,
    list_steps,
    random,
)


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

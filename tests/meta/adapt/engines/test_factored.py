"""Weights that are never formed give the numbers of those that are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional as F

from metaselector.meta.adapt.engines.factored import FactoredLinears, UserWeights, factorable
from metaselector.models.kernels.intercept import Intercept, UnexpectedUse
from tests.meta.adapt.engines.factored_layers import IN, RATE, USERS, close, random

OUT = 2


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

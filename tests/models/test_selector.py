"""The selector's weights are a distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from metaselector.config.selector import SelectorInput
from metaselector.data.encoded.batch import Batch
from metaselector.models.selector import GatedSelector
from tests.models.selectors import MODELS, SEES, build, inputs


@settings(max_examples=30)
@given(
    st.integers(0, 1000),
    st.floats(0, 100),
    st.sampled_from(SEES),
    st.floats(0.01, 100),
    st.floats(0, 1, exclude_max=True),
)
def test_weights_lie_on_the_simplex(
    seed: int, scale: float, sees: tuple[SelectorInput, ...], temperature: float, share: float
) -> None:
    selector = build(scale, seed, inputs=sees, temperature=temperature, uniform_mixing=share)
    weights = selector(*inputs(2, 5, seed=seed))
    assert weights.shape == (2, 5, MODELS)
    assert (weights >= share / MODELS - 1e-12).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5).double())


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_untrained_selector_is_the_uniform_average(share: float) -> None:
    weights = build(uniform_mixing=share)(*inputs(5))
    assert torch.equal(weights, torch.full_like(weights, 1 / MODELS))


class Plain(nn.Module):
    """The selector of fields and outputs, without settings, for rows ``[B, 3]``."""

    def __init__(self, num_ids: int, num_models: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(num_ids, 2) * 0.01)
        self.hidden = nn.Linear(2 * 2 + num_models, 4)
        self.gate = nn.Linear(2 * 2 + num_models, 4)
        self.output = nn.Linear(4, num_models)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, batch: Batch, probabilities: Tensor) -> Tensor:
        starts = torch.tensor(
            [3 * row + first for row in range(len(batch.ids)) for first in (0, 1)]
        )
        pooled = F.embedding_bag(
            batch.ids.flatten(),
            self.embedding,
            starts,
            mode="sum",
            per_sample_weights=batch.values.flatten(),
        )
        x = torch.cat([pooled.view(-1, 4), torch.logit(probabilities, eps=1e-6)], -1)
        return F.softmax(self.output(F.relu(self.hidden(x)) * torch.sigmoid(self.gate(x))), -1)


def test_defaults_are_the_plain_selector() -> None:
    """The same draws for the same parameters, and the same weights and gradients, exactly."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = Plain(6, MODELS).double()
    untrained = build().state_dict()
    assert list(untrained) == list(plain.state_dict())
    assert all(torch.equal(untrained[name], p) for name, p in plain.state_dict().items())

    selector = build(1.0)
    plain.load_state_dict(selector.state_dict())
    batch, probabilities = inputs(5)
    results = [model(batch, probabilities) for model in (selector, plain)]
    assert torch.equal(*results)
    for result in results:
        result[:, 0].sum().backward()
    for name, p in plain.named_parameters():
        assert torch.equal(selector.get_parameter(name).grad, p.grad), name


@pytest.mark.parametrize(
    ("temperature", "share", "expected"),
    [
        (1.0, 0.0, [0.8, 0.1, 0.1]),  # e^(ln 8), 1, 1
        (3.0, 0.0, [0.5, 0.25, 0.25]),  # 8^(1/3), 1, 1
        (1.0, 0.5, [0.8 / 2 + 1 / 6, 0.1 / 2 + 1 / 6, 0.1 / 2 + 1 / 6]),
        (3.0, 0.4, [0.5 * 0.6 + 0.4 / 3, 0.25 * 0.6 + 0.4 / 3, 0.25 * 0.6 + 0.4 / 3]),
    ],
)
def test_temperature_and_uniform_share_by_hand(
    temperature: float, share: float, expected: list[float]
) -> None:
    selector = build(temperature=temperature, uniform_mixing=share)
    with torch.no_grad():
        selector.output.bias.copy_(torch.tensor([8.0, 1.0, 1.0]).double().log())
    weights = selector(*inputs(1))
    torch.testing.assert_close(weights, torch.tensor([expected]).double())


@pytest.mark.parametrize("sees", SEES)
def test_gradients_equal_finite_differences(sees: tuple[SelectorInput, ...]) -> None:
    selector = build(1.0, inputs=sees, temperature=0.7, uniform_mixing=0.2)
    batch, probabilities = inputs(2)
    names = [name for name, _ in selector.named_parameters()]

    def weights(probabilities: Tensor, *parameters: Tensor) -> Tensor:
        changed = dict(zip(names, parameters, strict=True))
        result: Tensor = functional_call(selector, changed, (batch, probabilities))
        return result

    leaves = (probabilities.requires_grad_(), *selector.parameters())
    assert torch.autograd.gradcheck(weights, leaves)
    if "fields" not in sees:  # embedding_bag has no second derivative; the engines give it one
        assert torch.autograd.gradgradcheck(weights, leaves)


def test_untrained_selector_can_learn() -> None:
    """The gate at the uniform average must not be a point where gradients vanish."""
    selector = build()
    selector(*inputs(5))[:, 0].sum().backward()
    assert selector.output.weight.grad is not None
    assert selector.output.weight.grad.any()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_base_models_give_finite_weights_and_gradients(probability: float) -> None:
    selector = build(1.0)
    batch, probabilities = inputs(5)
    probabilities = probabilities.fill_(probability).requires_grad_()
    weights = selector(batch, probabilities)
    weights[:, 0].sum().backward()
    assert weights.isfinite().all()
    assert probabilities.grad is not None
    assert probabilities.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in selector.parameters())


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_base_models_give_finite_gradients_of_gradients(probability: float) -> None:
    selector = build(1.0, inputs=("outputs", "disagreement"))
    batch, probabilities = inputs(5)
    probabilities = probabilities.fill_(probability).requires_grad_()
    learned = [probabilities, *selector.parameters()]
    first = torch.autograd.grad(
        selector(batch, probabilities)[:, 0].sum(), learned, create_graph=True
    )
    second = torch.autograd.grad(sum(g.square().sum() for g in first), learned, allow_unused=True)
    assert all(g.isfinite().all() for g in (*first, *second) if g is not None)


def test_batch_equals_single_rows() -> None:
    selector = build(1.0)
    batch, probabilities = inputs(2, 5)
    expected = selector(batch, probabilities)[1, 3]
    single = selector(Batch(batch.ids[1, 3:4], batch.values[1, 3:4]), probabilities[1, 3:4])
    torch.testing.assert_close(single[0], expected, rtol=0, atol=1e-12)


def test_tables_have_a_row_for_every_id() -> None:
    selector = build()
    assert {name: len(selector.get_parameter(name)) for name in selector.tables} == {"embedding": 6}


def test_by_hand() -> None:
    """One field, one hidden unit: h = relu(x . (1, 2, 0)) * sigmoid(0), logits (h, 0)."""
    selector = GatedSelector(2, [0], 2, embedding_size=1, hidden_size=1).double()
    with torch.no_grad():
        selector.embedding.copy_(torch.tensor([[9.0], [3.0]]))
        selector.hidden.weight.copy_(torch.tensor([[1.0, 2.0, 0.0]]))
        selector.output.weight.copy_(torch.tensor([[1.0], [0.0]]))
        for p in (selector.hidden.bias, selector.gate.weight, selector.gate.bias):
            p.zero_()
    batch = Batch(torch.tensor([[1]]), torch.tensor([[0.5]]).double())
    odds = torch.tensor([[0.25, -1.0]]).double()
    h = (0.5 * 3.0 + 2 * 0.25) * 0.5
    expected = torch.sigmoid(torch.tensor([h, -h]).double())
    torch.testing.assert_close(selector(batch, torch.sigmoid(odds))[0], expected)

"""The selector's weights are a distribution."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from metaselector.config.meta import SelectorInput
from metaselector.data.encoded.batch import Batch
from metaselector.models.mixture import MixtureOutput
from metaselector.models.selector import GatedSelector, support_losses

SLOT_FIELDS = [0, 1, 1]
MODELS = 3
SEES = [kinds for n in (1, 2, 3, 4) for kinds in combinations(get_args(SelectorInput), n)]


def build(scale: float | None = None, seed: int = 0, **settings: Any) -> GatedSelector:
    """An untrained selector, or one with random parameters of the given scale."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        selector = GatedSelector(
            6, SLOT_FIELDS, MODELS, embedding_size=2, hidden_size=4, **settings
        ).double()
    if scale is not None:
        with torch.no_grad():
            for p in selector.parameters():
                p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) * scale)
    return selector


def inputs(*shape: int, seed: int = 0) -> tuple[Batch, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 6, (*shape, 3), generator=generator)
    values = torch.rand((*shape, 3), generator=generator, dtype=torch.float64)
    return Batch(ids, values), torch.rand(
        (*shape, MODELS), generator=generator, dtype=torch.float64
    )


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


@pytest.mark.parametrize("sees", SEES)
def test_each_task_has_a_distribution_of_its_own(sees: tuple[SelectorInput, ...]) -> None:
    selector = build(1.0, inputs=sees, num_tasks=2, uniform_mixing=0.1)
    batch, probabilities = inputs(2, 5)
    weights = selector(batch, torch.stack([probabilities, probabilities**2], -1))
    assert weights.shape == (2, 5, MODELS, 2)
    torch.testing.assert_close(weights.sum(-2), torch.ones(2, 5, 2).double())
    assert not torch.allclose(weights[..., 0], weights[..., 1])
    single = build(num_tasks=2)(batch, torch.stack([probabilities, probabilities], -1))
    assert torch.equal(single, torch.full_like(single, 1 / MODELS)), "untrained, it is uniform"


def test_disagreement_is_measured_within_a_task() -> None:
    """Log-odds 1, 2, 6 of one task and 0, 0, 3 of the other, each around their own mean."""
    selector = build(inputs=("disagreement",), num_tasks=2)
    odds = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [6.0, 3.0]]]).double()  # [B, K, T]
    seen = torch.cat(selector._inputs(inputs(1)[0], torch.sigmoid(odds)), dim=-1)
    deviations = torch.tensor([-2.0, -1.0, -1.0, -1.0, 3.0, 2.0]).double()
    torch.testing.assert_close(seen[0], torch.cat([deviations, deviations.abs()]))


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


@pytest.mark.parametrize("sees", SEES)
def test_what_it_sees_decides_parameters_and_tables(sees: tuple[SelectorInput, ...]) -> None:
    numbers = {"fields": 2 * 2, "outputs": MODELS, "disagreement": 2 * MODELS}
    numbers["support-losses"] = MODELS
    selector = build(inputs=sees)
    assert selector.hidden.in_features == sum(numbers[kind] for kind in sees)
    assert selector.tables == ({"embedding"} if "fields" in sees else set())
    assert ("embedding" in dict(selector.named_parameters())) == ("fields" in sees)
    told = {"support_losses"} if "support-losses" in sees else set()
    assert (
        selector.context.keys() == told == dict(selector.named_buffers()).keys() - {"first_slots"}
    )
    assert "support_losses" not in selector.state_dict()


@pytest.mark.parametrize("sees", SEES)
def test_weights_depend_on_what_it_sees_alone(sees: tuple[SelectorInput, ...]) -> None:
    selector = build(1.0, inputs=sees)
    batch, probabilities = inputs(5)
    expected = selector(batch, probabilities)
    others = {
        "fields": (Batch(batch.ids % 5 + 1, batch.values), probabilities),
        "outputs": (batch, torch.sigmoid(torch.logit(probabilities) + 1)),  # deviations stay
        "disagreement": (batch, probabilities**2),
    }
    for kind, changed in others.items():
        same = torch.allclose(selector(*changed), expected, rtol=0, atol=1e-12)
        reads = {kind} if kind != "disagreement" else {"outputs", "disagreement"}
        assert same == reads.isdisjoint(sees), kind
    told = {"support_losses": torch.tensor([0.2, 0.5, 0.9]).double()}
    if "support-losses" in sees:
        again = functional_call(selector, told, (batch, probabilities))
        assert not torch.allclose(again, expected, rtol=0, atol=1e-12)


def test_the_order_of_what_it_sees_does_not_matter() -> None:
    a, b = (build(1.0, inputs=sees) for sees in (("fields", "outputs"), ("outputs", "fields")))
    assert torch.equal(a(*inputs(5)), b(*inputs(5)))


def test_support_losses_by_hand() -> None:
    """Log-odds of 0 cost ln 2; the last row is padding."""
    p = torch.tensor([[0.5, 0.9], [0.5, 0.8], [0.1, 0.1]]).double()
    rows = torch.zeros(3).double()
    output = MixtureOutput(rows, rows, p, p)
    labels = torch.tensor([1, 0, 0]).double()
    found = support_losses(output, labels, torch.tensor([1, 1, 0]).double())
    expected = torch.tensor([2.0, -(math.log(0.9) + math.log(0.2)) / math.log(2)]) * math.log(2) / 2
    torch.testing.assert_close(found, expected.double(), rtol=0, atol=1e-7)
    nothing = torch.zeros(3).double()
    assert torch.equal(support_losses(output, labels, nothing), torch.zeros(2).double())


def test_disagreement_by_hand() -> None:
    """Log-odds 1, 2, 6 lie -2, -1, 3 from their mean."""
    selector = build(inputs=("disagreement",))
    odds = torch.tensor([[1.0, 2.0, 6.0]]).double()
    seen = torch.cat(selector._inputs(inputs(1)[0], torch.sigmoid(odds)), dim=-1)
    expected = torch.tensor([[-2.0, -1.0, 3.0, 2.0, 1.0, 3.0]]).double()
    torch.testing.assert_close(seen, expected)


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


def test_padding_slots_change_nothing() -> None:
    selector = build(1.0)
    batch, probabilities = inputs(5)
    batch.ids[:, 2], batch.values[:, 2] = 0, 0
    expected = selector(batch, probabilities)
    with torch.no_grad():
        selector.embedding[0] = 1e3
    assert torch.equal(selector(batch, probabilities), expected)


def test_weights_depend_on_features_and_on_base_outputs() -> None:
    selector = build(1.0)
    batch, probabilities = inputs(5)
    expected = selector(batch, probabilities)
    other_ids = Batch(batch.ids % 5 + 1, batch.values)
    assert not torch.allclose(selector(other_ids, probabilities), expected)
    assert not torch.allclose(selector(batch, 1 - probabilities), expected)


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

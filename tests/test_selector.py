"""The selector's weights are a distribution."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metaselector.data.batch import Batch
from metaselector.selector import GatedSelector

SLOT_FIELDS = [0, 1, 1]
MODELS = 3


def build(scale: float | None = None, seed: int = 0) -> GatedSelector:
    """An untrained selector, or one with random parameters of the given scale."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        selector = GatedSelector(6, SLOT_FIELDS, MODELS, embedding_size=2, hidden_size=4).double()
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


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.floats(0, 100))
def test_weights_lie_on_the_simplex(seed: int, scale: float) -> None:
    weights = build(scale, seed)(*inputs(2, 5, seed=seed))
    assert weights.shape == (2, 5, MODELS)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5).double())


def test_untrained_selector_is_the_uniform_average() -> None:
    weights = build()(*inputs(5))
    assert torch.equal(weights, torch.full_like(weights, 1 / MODELS))


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

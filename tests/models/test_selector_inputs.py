"""What the selector sees decides its parameters and its weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch.func import functional_call

from metaselector.config.selector import SelectorInput
from metaselector.data.encoded.batch import Batch
from metaselector.models.mixture import MixtureOutput
from metaselector.models.selector import support_losses
from tests.models.selectors import MODELS, SEES, build, inputs


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

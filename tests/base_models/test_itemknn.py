"""Item neighbours with learned similarities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from base_models import ItemKNN
from tests.base_models.tiny import randomise, row_with_history

SLOT_FIELDS = [0, 1, 2, 2, 2, 3]
"""Field of each slot: user, item, history, and a field that the model must not read."""
HISTORIES = {0: [], 1: [7], 2: [7, 6], 3: [5, 7, 6]}


def build(exponent: float = 0.5) -> ItemKNN:
    model = ItemKNN(9, SLOT_FIELDS, 0, 1, 2, embedding_size=2, exponent=exponent)
    return randomise(model).requires_grad_(False)


def row(history: list[int], context: int = 8) -> tuple[Tensor, Tensor]:
    return row_with_history(history, 3, (context,))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("n", HISTORIES)
def test_equals_the_equation(n: int, exponent: float) -> None:
    model = build(exponent)
    weight, vectors = model.linear.weight[:, 0], model.embedding.weight
    similarity = sum(float(vectors[3] @ vectors[j]) for j in HISTORIES[n])
    expected = float(model.linear.bias + weight[1] + weight[3])
    if n:
        expected += n**-exponent * similarity
    assert model(row(HISTORIES[n])).item() == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    model = ItemKNN(5, [0, 1, 2, 2], 0, 1, 2, embedding_size=1, exponent=0.5)
    with torch.no_grad():
        model.linear.weight.copy_(torch.tensor([[9.0], [0.25], [0.5], [9.0], [9.0]]))
        model.linear.bias.fill_(1.0)
        model.embedding.weight.copy_(torch.tensor([[9.0], [9.0], [2.0], [3.0], [5.0]]))
    batch = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1.0, 1.0, 0.5, 0.5]])
    assert model(batch).item() == pytest.approx(1.0 + 0.25 + 0.5 + 2 * (3 + 5) / 2**0.5)


def test_order_of_the_history_does_not_matter() -> None:
    model = build()
    orders = ([5, 7, 6], [6, 7, 5], [7, 6, 5])
    logits = torch.stack([model(row(history)) for history in orders])
    torch.testing.assert_close(logits, logits[:1].expand_as(logits), rtol=0, atol=1e-12)


def test_other_fields_are_not_read() -> None:
    model = build()
    assert torch.equal(model(row([5], context=8)), model(row([5], context=4)))


@pytest.mark.parametrize("exponent", [-0.1, 1.1])
def test_exponent_out_of_range(exponent: float) -> None:
    with pytest.raises(ValueError, match=f"exponent must be from 0 to 1, got {exponent}"):
        build(exponent)

"""Attention over the history, aware of its order."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from base_models import SequenceAttention
from tests.base_models.tiny import randomise, row_with_history


def build(length: int = 3, slots: int = 3) -> SequenceAttention:
    fields = [0, 1, *[2] * slots]
    model = SequenceAttention(
        9, fields, 1, 2, embedding_size=2, length=length, attention_size=4, hidden_sizes=(5,)
    )
    return randomise(model).requires_grad_(False)


def row(history: list[int], slots: int = 3) -> tuple[Tensor, Tensor]:
    return row_with_history(history, slots)


@pytest.mark.parametrize("history", [[], [7], [5, 7, 6]])
def test_equals_the_equation(history: list[int]) -> None:
    model = build()
    vectors = model.embedding.weight
    item, interest = vectors[3], torch.zeros(2).double()
    for position, j in enumerate(history):
        liked = vectors[j] + model.positions[position]
        attention = model.attention(torch.cat([liked, item, liked * item]))
        interest += attention * liked / len(history)
    ids, values = row(history)
    expected = model.linear.bias + (model.linear.weight[ids[0], 0] * values[0]).sum()
    expected = expected + model.mlp(torch.cat([interest, item, interest * item]))
    torch.testing.assert_close(model((ids, values)), expected, rtol=0, atol=1e-12)


def test_order_of_the_history_matters() -> None:
    model = build()
    logits = [model(row(list(order))).item() for order in itertools.permutations([5, 6, 7])]
    assert all(abs(a - b) > 1e-6 for a, b in itertools.combinations(logits, 2))


def test_without_positions_it_does_not() -> None:
    """Nothing else depends on the order."""
    model = build()
    model.positions.zero_()
    torch.testing.assert_close(model(row([5, 6, 7])), model(row([7, 5, 6])), rtol=0, atol=1e-12)


def test_only_the_newest_items_are_attended_to() -> None:
    model = build(length=1)
    model.linear.weight.zero_()  # which reads every slot
    assert torch.equal(model(row([5, 6])), model(row([5, 7])))
    assert not torch.equal(model(row([5, 6])), model(row([6, 5])))


def test_slots_fewer_than_the_length_change_nothing() -> None:
    longer, shorter = build(slots=3), build(slots=2)
    assert torch.equal(longer(row([5, 6])), shorter(row([5, 6], slots=2)))

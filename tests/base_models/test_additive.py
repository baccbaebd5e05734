"""The additive model."""

from __future__ import annotations

import pytest
import torch

from base_models import FM, Additive
from tests.base_models.tiny import randomise

SLOT_FIELDS = [0, 1, 1, 2]
IDS = torch.tensor([[1, 2, 3, 5], [1, 4, 0, 6]])
VALUES = torch.tensor([[1.0, 0.5, 0.5, -2.0], [1.0, 1.0, 0.0, 3.0]]).double()


def build(user_field: int = 0, embedding_size: int = 3) -> Additive:
    model = Additive(7, SLOT_FIELDS, user_field, embedding_size)
    return randomise(model).requires_grad_(False)


@pytest.mark.parametrize("user_field", [0, 2])
def test_equals_the_sum_over_pairs_with_the_user(user_field: int) -> None:
    model = build(user_field)
    user = {0: 0, 2: 3}[user_field]
    expected = []
    for ids, values in zip(IDS, VALUES, strict=True):
        logit = float(model.linear.bias)
        for c in range(4):
            logit += float(model.linear.weight[ids[c], 0] * values[c])
            if c != user:
                product = model.embedding.weight[ids[user]] @ model.embedding.weight[ids[c]]
                logit += float(product * values[user] * values[c])
        expected.append(logit)
    assert model((IDS, VALUES)).tolist() == pytest.approx(expected, abs=1e-12)


def test_of_two_slots_it_is_the_factorization_machine() -> None:
    additive, fm = Additive(7, [0, 1], 0, 3).double(), FM(7, [0, 1], 3).double()
    fm.load_state_dict(additive.state_dict())
    batch = torch.tensor([[1, 2]]), torch.tensor([[1.0, 0.5]]).double()
    torch.testing.assert_close(additive(batch), fm(batch), rtol=0, atol=1e-12)


def test_effects_of_a_user_add_up() -> None:
    """The item's effect on the logit does not depend on the genres; in an FM it does."""
    model = build()

    def effect_of_item(genre: int) -> float:
        ids = torch.tensor([[1, genre, 0, 5], [1, genre, 0, 6]])
        a, b = model((ids, (ids > 0).double())).tolist()
        return float(a - b)

    assert effect_of_item(2) == pytest.approx(effect_of_item(3), abs=1e-12)

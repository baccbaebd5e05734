"""RnR."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from base_models import RnR

OPTIONS = {"user_field": 0, "item_field": 1, "embedding_size": 2}
RATING = [(None, False), (0, True)]
NAN = float("nan")


def by_hand(model: Any, user: int, item: int) -> tuple[float, float]:
    p, q = (model.embedding.weight[i].tolist() for i in (user, item))
    had = [a + b for a, b in zip(q, model.deviation.weight[item].tolist(), strict=True)]

    def phi(a: list[float]) -> list[float]:
        weight, bias = model.transform.weight.tolist(), model.transform.bias.tolist()
        return [
            math.tanh(sum(w * x for w, x in zip(row, a, strict=True)) + b)
            for row, b in zip(weight, bias, strict=True)
        ]

    effects = [*model.linear.weight[[user, item], 0].tolist(), model.linear.bias.item()]
    rating = sum(effects) + sum(a * b for a, b in zip(phi(p), phi(had), strict=True))
    return sum(a * b for a, b in zip(p, q, strict=True)), rating


@pytest.fixture
def batch(rows: Any) -> tuple[Tensor, Tensor]:
    """Rows in which all values are 1."""
    return rows[0], torch.ones_like(rows[1])


def test_equals_the_equations(make: Any, batch: Any) -> None:
    model = make(RnR, **OPTIONS)
    expected = [by_hand(model, user, item) for user, item, *_ in batch[0].tolist()]
    torch.testing.assert_close(model(batch), torch.tensor(expected, dtype=torch.float64))


def test_other_fields_are_not_read(make: Any, batch: Any) -> None:
    model = make(RnR, **OPTIONS)
    others = batch[0].clone()
    others[:, 2:] = 7
    assert torch.equal(model((others, batch[1])), model(batch))


def test_deviation_starts_at_0() -> None:
    model = RnR(9, [0, 1, 2, 2], RATING, **OPTIONS)  # type: ignore[arg-type]
    assert not model.deviation.weight.any()
    assert model.embedding.weight.all()


def test_joint_loss(make: Any, batch: Any) -> None:
    model = make(
        RnR,
        RATING,
        rank_weight=0.3,
        regularization=0.2,
        deviation_regularization=0.7,
        **OPTIONS,
    )
    labels = torch.tensor(
        [[1, 4], [0, NAN], [1, 2], [1, NAN], [0, NAN], [0, NAN], [1, 5]], dtype=torch.float64
    )
    rank, rate, lengths = [], [], []
    for (user, item, *_), (taken, rating) in zip(batch[0].tolist(), labels.tolist(), strict=True):
        s, r = by_hand(model, user, item)
        rank.append(math.log1p(math.exp(-s if taken else s)))
        if taken and not math.isnan(rating):
            rate.append((r - rating) ** 2)
        p, q, d = (
            table[i].square().sum().item()
            for table, i in (
                (model.embedding.weight, user),
                (model.embedding.weight, item),
                (model.deviation.weight, item),
            )
        )
        lengths.append(0.2 * (p + q) + 0.7 * d)
    losses, penalty = model.losses(batch, labels)
    expected = [0.3 * sum(rank) / 7, 0.7 * sum(rate) / 3]
    assert losses.tolist() == pytest.approx(expected, rel=1e-12)
    assert penalty.item() == pytest.approx(sum(lengths) / 7, rel=1e-12)


def test_a_rating_of_0_and_1_has_a_logloss(make: Any, batch: Any) -> None:
    model = make(RnR, **OPTIONS)
    r = model(batch)[:, 1]
    losses, _ = model.losses(batch, torch.ones(7, 2).double())
    assert losses[1].item() == pytest.approx(0.5 * (-r.sigmoid().log()).mean().item())


def test_ranking_moves_the_embedding_only(make: Any, batch: Any) -> None:
    model = make(RnR, **OPTIONS)
    model.losses(batch, torch.ones(7, 2).double()).tasks[0].backward()
    moved = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"embedding.weight"}


@pytest.mark.parametrize("tasks", [[(None,)], [(None,), (None,)], [(None,), (0,), (1,)]])
def test_other_tasks_are_refused(make: Any, tasks: Any) -> None:
    with pytest.raises(ValueError, match="RnR needs two tasks, the second after the first"):
        make(RnR, tasks, **OPTIONS)


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_weight_out_of_range(make: Any, weight: float) -> None:
    with pytest.raises(ValueError, match=f"rank_weight must be from 0 to 1, got {weight}"):
        make(RnR, rank_weight=weight, **OPTIONS)

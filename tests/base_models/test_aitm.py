"""AITM."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from base_models import AITM

OPTIONS = {"embedding_size": 2, "bottom_sizes": (5, 3), "tower_sizes": (4,)}
TASKS = [(None,), (0,), (0,), (None,)]
BEFORE = [None, 0, 0, 2]


def dot(a: Any, b: Any) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


def test_equals_loops(make: Any, rows: Any) -> None:
    model = make(AITM, TASKS, **OPTIONS)
    with torch.no_grad():
        for row, logits in enumerate(model.logits_of_all_rows(rows)):
            x = model.embed(tuple(part[row] for part in rows))
            z: list[Tensor] = []
            for t, before in enumerate(BEFORE):
                q = model.bottoms[t](x)
                if before is None:
                    z.append(q)
                    continue
                transfer = model.transfers[t]
                p = transfer.g(z[before])
                powers = [
                    math.exp(dot(transfer.h2.weight @ u, transfer.h3.weight @ u) / math.sqrt(3))
                    for u in (p, q)
                ]
                z.append(
                    sum(
                        power / sum(powers) * (transfer.h1.weight @ u)
                        for power, u in zip(powers, (p, q), strict=True)
                    )
                )
            expected = [model.towers[t](z[t]).item() for t in range(4)]
            assert logits.tolist() == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_forward_is_conditional(make: Any, rows: Any) -> None:
    """Of two ordered probabilities it is the ratio; otherwise it is clamped near 1."""
    model = make(AITM, seed=1, **OPTIONS)
    y = torch.sigmoid(model.logits_of_all_rows(rows))
    given = torch.sigmoid(model(rows))
    ordered = y[:, 1] < y[:, 0]
    assert ordered.any()
    assert not ordered.all()
    torch.testing.assert_close(given[:, 0], y[:, 0])
    torch.testing.assert_close(given[ordered, 1], (y[:, 1] / y[:, 0])[ordered])
    assert (given[~ordered, 1] > 0.99).all()


def test_losses_are_over_all_rows(make: Any, rows: Any, labels: Tensor) -> None:
    model = make(AITM, **OPTIONS)
    raw = model.logits_of_all_rows(rows)
    clicked = labels[:, 0]
    known = torch.tensor([True, True, True, False, False, True, True])  # click 0, or both known
    bought = torch.where(clicked == 0, 0.0, labels[:, 1])
    observed = ~clicked.isnan()
    expected = [
        F.binary_cross_entropy(torch.sigmoid(raw[observed, 0]), clicked[observed]),
        F.binary_cross_entropy(torch.sigmoid(raw[known, 1]), bought[known]),
    ]
    torch.testing.assert_close(model.losses(rows, labels).tasks, torch.stack(expected))


def with_biases(model: Any, biases: list[float]) -> Any:
    """Predict the same logits in every row."""
    with torch.no_grad():
        for tower, bias in zip(model.towers, biases, strict=True):
            tower[-1].weight.zero_()
            tower[-1].bias.fill_(bias)
    return model


def test_no_penalty_where_probabilities_are_ordered(make: Any, rows: Any, labels: Any) -> None:
    model = with_biases(make(AITM, [(None,), (0,)], **OPTIONS), [1.0, 0.5])
    assert model.losses(rows, labels).penalty == 0


def test_penalty_where_they_are_not(make: Any, rows: Any, labels: Any) -> None:
    sigmoid = torch.tensor([1.0, 2.0, 3.0]).double().sigmoid().tolist()
    model = make(AITM, [(None,), (0,), (1,)], **OPTIONS)
    all_labels = torch.cat([labels, labels[:, :1]], dim=-1)
    penalty = with_biases(model, [1.0, 2.0, 3.0]).losses(rows, all_labels).penalty
    assert penalty.item() == pytest.approx(0.6 * (sigmoid[2] - sigmoid[0]))
    model = make(AITM, [(None,), (0,)], calibrator_weight=2.0, **OPTIONS)
    penalty = with_biases(model, [1.0, 2.0]).losses(rows, labels).penalty
    assert penalty.item() == pytest.approx(2 * (sigmoid[1] - sigmoid[0]))


def test_penalty_is_a_mean_over_rows(make: Any, rows: Any, labels: Tensor) -> None:
    model = make(AITM, seed=1, **OPTIONS)
    y = torch.sigmoid(model.logits_of_all_rows(rows))
    excess = [max(b - a, 0) for (a, b), row in zip(y.tolist(), labels, strict=True)
              if not row.isnan().all()]  # fmt: skip
    assert sum(excess) > 0
    penalty = model.losses(rows, labels).penalty
    assert penalty.item() == pytest.approx(0.6 * sum(excess) / len(excess))


def test_tasks_for_themselves_have_no_penalty(make: Any, rows: Any, labels: Tensor) -> None:
    model = with_biases(make(AITM, [(None,), (None,)], **OPTIONS), [1.0, 2.0])
    losses, penalty = model.losses(rows, labels)
    assert penalty == 0
    assert torch.equal(model(rows), model.logits_of_all_rows(rows))
    second = torch.where(labels[:, 1].isnan(), 0, F.softplus(torch.tensor(2.0)) - 2 * labels[:, 1])
    assert losses[1].item() == pytest.approx((second.nansum() / 3).item())


def test_the_first_task_informs_the_second_only(make: Any, rows: Any) -> None:
    model = make(AITM, **OPTIONS)
    raw = model.logits_of_all_rows(rows)
    of_first = list(model.bottoms[0].parameters())
    of_second = [*model.bottoms[1].parameters(), *model.transfers[1].parameters()]
    assert all(g.any() for g in torch.autograd.grad(raw[:, 1].sum(), of_first, retain_graph=True))
    backwards = torch.autograd.grad(raw[:, 0].sum(), of_second, materialize_grads=True)
    assert not any(g.any() for g in backwards)


def test_numbers_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="AITM predicts labels of 0 and 1 only, but task 1 is num"):
        make(AITM, [(None,), (0, True)])

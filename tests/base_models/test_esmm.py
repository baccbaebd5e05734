"""ESMM, and the functions it shares with AITM for funnels over all rows."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from base_models import ESMM, Task
from base_models.funnel import conditional_logits, labels_of_all_rows, log_probabilities

OPTIONS = {"embedding_size": 2, "hidden_sizes": (6, 4)}
CHAIN = [Task(), Task(after=0), Task(after=1)]
NAN = float("nan")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def logloss(p: float, label: float) -> float:
    return -math.log(p if label else 1 - p)


def test_towers_read_the_shared_embedding(make: Any, rows: Any) -> None:
    model = make(ESMM, **OPTIONS)
    for row, logits in enumerate(model(rows).tolist()):
        fields = [torch.zeros(2).double() for _ in range(3)]
        for i, v, field in zip(rows[0][row], rows[1][row], [0, 1, 2, 2], strict=True):
            fields[field] += v * model.embedding.weight[i].detach()
        expected = [tower(torch.cat(fields)).item() for tower in model.towers]
        assert logits == pytest.approx(expected, abs=1e-12)


def test_losses_equal_the_naive_ones(make: Any, rows: Any, labels: Tensor) -> None:
    model = make(ESMM, **OPTIONS)
    clicks, bought = [], []
    for (a, b), (click, buy) in zip(model(rows).tolist(), labels.tolist(), strict=True):
        if math.isnan(click):
            continue
        clicks.append(logloss(sigmoid(a), click))
        if click == 0:
            bought.append(logloss(sigmoid(a) * sigmoid(b), 0))
        elif not math.isnan(buy):
            bought.append(logloss(sigmoid(a) * sigmoid(b), buy))
    assert (len(clicks), len(bought)) == (6, 5)
    losses, penalty = model.losses(rows, labels)
    assert losses.tolist() == pytest.approx(
        [sum(clicks) / len(clicks), sum(bought) / len(bought)], rel=1e-12
    )
    assert penalty == 0


def test_a_label_where_the_task_before_is_0_is_not_read(make: Any, rows: Any, labels: Any) -> None:
    model = make(ESMM, **OPTIONS)
    expected = model.losses(rows, labels).tasks
    for value in (0.0, 1.0):
        filled = labels.clone()
        filled[labels[:, 0] == 0, 1] = value
        assert torch.equal(model.losses(rows, filled).tasks, expected)


def test_the_second_loss_moves_the_first_tower(make: Any, rows: Any, labels: Tensor) -> None:
    """The loss is on the product, not on the conversion rate."""
    model = make(ESMM, **OPTIONS)
    model.losses(rows, labels).tasks[1].backward()
    assert all(p.grad.any() for p in model.parameters())


def test_labels_of_a_chain() -> None:
    labels = torch.tensor(
        [
            [1, 1, 1],
            [1, 1, 0],
            [1, 0, 1],
            [0, NAN, NAN],
            [0, 1, 1],
            [1, NAN, 1],
            [NAN, 1, 1],
            [NAN, 0, NAN],
            [1, 1, NAN],
        ]
    )
    expected = torch.tensor(
        [
            [1, 1, 1],
            [1, 1, 0],
            [1, 0, 0],
            [0, 0, 0],
            [0, 0, 0],
            [1, NAN, NAN],
            [NAN, NAN, NAN],
            [NAN, NAN, NAN],
            [1, 1, NAN],
        ]
    )
    torch.testing.assert_close(labels_of_all_rows(labels, CHAIN), expected, equal_nan=True)


def test_labels_of_tasks_for_themselves_stay() -> None:
    labels = torch.tensor([[0, 1, NAN], [1, NAN, 0]])
    tasks = [Task(), Task(), Task(after=1)]
    expected = torch.tensor([[0, 1, NAN], [1, NAN, NAN]])
    torch.testing.assert_close(labels_of_all_rows(labels, tasks), expected, equal_nan=True)


def test_log_probabilities_of_a_chain() -> None:
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = torch.sigmoid(logits).cumprod(-1)
    positive, negative = log_probabilities(logits, CHAIN)
    torch.testing.assert_close(positive, p.log(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(negative, (1 - p).log(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("function", [log_probabilities, conditional_logits])
def test_derivatives_equal_finite_differences_twice(function: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, generator=generator, dtype=torch.float64).sort(-1, True).values
    inputs = (logits.requires_grad_(),)
    assert torch.autograd.gradcheck(lambda z: function(z, CHAIN), inputs)
    assert torch.autograd.gradgradcheck(lambda z: function(z, CHAIN), inputs)


def exact(a: float, b: float) -> tuple[float, float]:
    """log pq and log(1 - pq) with 400 digits."""
    with localcontext() as context:
        context.prec = 400
        p, q = (1 / (1 + (-Decimal(x)).exp()) for x in (a, b))
        return float((p * q).ln()), float((1 - p * q).ln())


@pytest.mark.parametrize("a", [-300.0, -1.0, 50.0, 200.0])
@pytest.mark.parametrize("b", [-200.0, 3.0, 60.0, 300.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_probabilities_of_sure_models(a: float, b: float, dtype: torch.dtype) -> None:
    """Even if the product rounds to 0 or 1."""
    logits = torch.tensor([a, b], dtype=dtype, requires_grad=True)
    found = [part[1] for part in log_probabilities(logits, CHAIN[:2])]
    rounding = torch.finfo(dtype).eps * max(abs(a), abs(b))
    assert [part.item() for part in found] == pytest.approx(exact(a, b), rel=0, abs=2 * rounding)
    for part in found:
        (grad,) = torch.autograd.grad(part, logits, create_graph=True)
        assert grad.isfinite().all()
        (second,) = torch.autograd.grad(grad.sum(), logits)
        assert second.isfinite().all()


def test_conditional_logits_are_log_odds_of_the_ratio() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 3, generator=generator, dtype=torch.float64).sort(-1, True).values
    ratio = torch.sigmoid(logits[:, 1:]) / torch.sigmoid(logits[:, :2])
    found = conditional_logits(logits, CHAIN)
    assert torch.equal(found[:, 0], logits[:, 0])
    torch.testing.assert_close(found[:, 1:], torch.logit(ratio), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(-1.0, -1.0), (2.0, -3.0), (90.0, 10.0), (-200.0, 90.0)])
def test_conditional_logits_stay_finite(a: float, b: float) -> None:
    """Even if the later task has the higher logit."""
    logits = torch.tensor([b, a], requires_grad=True)
    given = conditional_logits(logits, CHAIN[:2])
    assert given.isfinite().all()
    (grad,) = torch.autograd.grad(given.sum(), logits, create_graph=True)
    (second,) = torch.autograd.grad(grad.sum(), logits)
    assert grad.isfinite().all()
    assert second.isfinite().all()
    if a >= b:
        assert torch.sigmoid(given[1]) > 1 - 1e-5


def test_what_it_needs(make: Any) -> None:
    with pytest.raises(ValueError, match="ESMM needs a task that is after another"):
        make(ESMM, [(None,), (None,)])
    with pytest.raises(ValueError, match="labels of 0 and 1 only, but task 1 is numeric"):
        make(ESMM, [(None,), (0, True)])

"""The convex combination and its loss."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from base_models import FM, LR
from metaselector.common.errors import ConfigError
from metaselector.data.encoded.batch import Batch
from metaselector.models.losses import MeanLoss, make_loss, mean_loss, row_loss
from metaselector.models.mixture import Mixture, MixtureOutput
from metaselector.models.selector import GatedSelector

EXTREMES = list(itertools.product([-60.0, 0.0, 60.0], repeat=2))
NO_SLOTS = Batch(torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1))


class Constant(nn.Module):
    """A base model of one logit, or a selector of the given scores."""

    tables: tuple[str, ...] = ()

    def __init__(self, value: Any, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.as_tensor(value, dtype=dtype))

    def forward(self, batch: Batch, base_probabilities: Tensor | None = None) -> Tensor:
        if base_probabilities is None:
            return self.value.expand(batch.ids.shape[:-1])
        return torch.softmax(self.value, -1).expand(base_probabilities.shape)


def mixture(
    logits: list[float], scores: list[float], dtype: torch.dtype = torch.float64
) -> Mixture:
    models = {f"model{k}": Constant(logit, dtype) for k, logit in enumerate(logits)}
    return Mixture(models, Constant(scores, dtype))


def expected_logs(logits: list[float], scores: list[float]) -> tuple[float, float]:
    """log p and log (1 - p) from sums of positive numbers only, which lose no precision."""
    shares = [math.exp(score - max(scores)) for score in scores]
    total = math.fsum(shares)
    positive = math.fsum(
        w / total / (1 + math.exp(-z)) for w, z in zip(shares, logits, strict=True)
    )
    negative = math.fsum(w / total / (1 + math.exp(z)) for w, z in zip(shares, logits, strict=True))
    return math.log(positive), math.log(negative)


logit_lists = st.lists(st.floats(-60, 60), min_size=2, max_size=4)


@given(logit_lists, st.data())
def test_prediction_is_the_weighted_sum_of_probabilities(
    logits: list[float], data: st.DataObject
) -> None:
    scores = data.draw(st.lists(st.floats(-5, 5), min_size=len(logits), max_size=len(logits)))
    output = mixture(logits, scores)(NO_SLOTS)
    expected = (output.weights * output.base_probabilities).sum(-1)
    torch.testing.assert_close(output.log_positive.exp(), expected, rtol=1e-12, atol=0)


@given(logit_lists, st.data())
def test_prediction_lies_between_the_base_models(logits: list[float], data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.floats(-50, 50), min_size=len(logits), max_size=len(logits)))
    output = mixture(logits, scores)(NO_SLOTS)
    bounds = torch.nn.functional.logsigmoid(torch.tensor(logits, dtype=torch.float64))
    slack = 1e-12 * (1 + bounds.abs().max())
    assert bounds.min() - slack <= output.log_positive <= bounds.max() + slack


@pytest.mark.parametrize("logits", EXTREMES)
@pytest.mark.parametrize("scores", [[0.0, 0.0], [30.0, 0.0], [0.0, 3.0]])
def test_both_logs_are_precise_at_extreme_logits(
    logits: tuple[float, float], scores: list[float]
) -> None:
    output = mixture(list(logits), scores)(NO_SLOTS)
    positive, negative = expected_logs(list(logits), scores)
    # 1e-15 absolute: where the logarithm is about 0, the probability is 1 to the last bit.
    assert output.log_positive.item() == pytest.approx(positive, rel=1e-12, abs=1e-15)
    assert output.log_negative.item() == pytest.approx(negative, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("logit", [-60.0, 60.0])
def test_float32_does_not_saturate(logit: float) -> None:
    output = mixture([logit, logit], [0.0, 1.0], torch.float32)(NO_SLOTS)
    losing = output.log_negative if logit > 0 else output.log_positive
    assert losing.item() == pytest.approx(-60.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("logits", EXTREMES)
@pytest.mark.parametrize("scores", [[0.0, 0.0], [500.0, -500.0]])
def test_gradients_are_finite_at_extreme_logits_and_weights(
    logits: tuple[float, float], scores: list[float], label: float, dtype: torch.dtype
) -> None:
    model = mixture(list(logits), scores, dtype)
    output = model(NO_SLOTS)
    loss = row_loss(output, torch.full_like(output.log_positive, label)).sum()
    learned = list(model.parameters())
    first = torch.autograd.grad(loss, learned, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), learned)
    assert all(g.isfinite().all() for g in (*first, *second))


def test_a_confidently_wrong_model_still_gets_a_gradient() -> None:
    model = mixture([60.0], [0.0])
    row_loss(model(NO_SLOTS), torch.zeros(1)).sum().backward()
    assert model.base_models["model0"].value.grad.item() == pytest.approx(1.0)


def test_logs_of_both_labels_add_up_to_one() -> None:
    output = mixture([-2.0, 1.5], [0.3, -0.4])(NO_SLOTS)
    total = output.log_positive.exp() + output.log_negative.exp()
    torch.testing.assert_close(total, torch.ones(1).double())


def mixed(probabilities: list[float]) -> MixtureOutput:
    p = torch.tensor(probabilities, dtype=torch.float64, requires_grad=True)
    return MixtureOutput(p.log(), (1 - p).log(), torch.ones(len(p), 1), p.unsqueeze(-1))


def test_row_loss_by_hand() -> None:
    loss = row_loss(mixed([0.2, 0.2]), torch.tensor([1.0, 0.0]))
    assert loss.tolist() == pytest.approx([-math.log(0.2), -math.log(0.8)])


def test_mean_loss_leaves_masked_rows_out() -> None:
    labels, mask = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 1.0, 0.0])
    loss = mean_loss(mixed([0.2, 0.2, 0.01]), labels, mask)
    assert loss.item() == pytest.approx(-(math.log(0.2) + math.log(0.8)) / 2)


def test_mean_loss_of_no_rows_is_zero_and_in_the_graph() -> None:
    output = mixed([0.2, 0.7])
    loss = mean_loss(output, torch.zeros(2), torch.zeros(2))
    assert loss.item() == 0
    (grad,) = torch.autograd.grad(loss, output.base_probabilities, allow_unused=True)
    assert loss.requires_grad
    assert grad is None or not grad.any()


def test_parameters_and_tables_carry_the_names_of_their_parts() -> None:
    model = Mixture({"lr": LR(3, [0]), "fm": FM(3, [0])}, GatedSelector(3, [0], 2))
    assert model.tables == {
        "base_models.lr.linear.weight",
        "base_models.fm.linear.weight",
        "base_models.fm.embedding.weight",
        "selector.embedding",
    }
    names = dict(model.named_parameters())
    assert model.tables <= names.keys()
    assert {name.split(".")[0] for name in names} == {"base_models", "selector"}


def test_untrained_selector_mixes_evenly() -> None:
    model = Mixture({"a": Constant(-1.0), "b": Constant(2.0)}, GatedSelector(3, [0], 2).double())
    output = model(Batch(NO_SLOTS.ids, NO_SLOTS.values.double()))
    expected = torch.sigmoid(torch.tensor([-1.0, 2.0]).double()).mean()
    torch.testing.assert_close(output.log_positive.exp().squeeze(), expected)


class Tasks(nn.Module):
    """Constant single-task models combined into one multi-task model or selector."""

    tables: tuple[str, ...] = ()

    def __init__(self, parts: list[Constant]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, batch: Batch, base_probabilities: Tensor | None = None) -> Tensor:
        if base_probabilities is None:
            return torch.stack([part(batch) for part in self.parts], -1)
        each = zip(self.parts, base_probabilities.unbind(-1), strict=True)
        return torch.stack([part(batch, p) for part, p in each], -1)


def test_each_task_is_mixed_as_if_it_were_the_only_one() -> None:
    logits, scores = ([[-1.0, 2.0, 0.5], [0.3, -4.0, 1.0]], [[0.0, 1.0, 2.0], [-3.0, 0.0, 0.5]])
    models = {
        f"model{k}": Tasks([Constant(logits[task][k]) for task in range(2)]) for k in range(3)
    }
    several = Mixture(models, Tasks([Constant(s) for s in scores]), num_tasks=2)(NO_SLOTS)
    for task in range(2):
        one = mixture(logits[task], scores[task])(NO_SLOTS)
        for mine, expected in zip(several, one, strict=True):
            assert torch.equal(mine[..., task], expected)


def mixed_tasks(probabilities: list[list[float]]) -> MixtureOutput:
    p = torch.tensor(probabilities, dtype=torch.float64, requires_grad=True)  # [R, T]
    return MixtureOutput(p.log(), (1 - p).log(), torch.ones(len(p), 1, p.shape[1]), p.unsqueeze(-2))


def test_loss_of_tasks_by_hand() -> None:
    """The second task is observed in the first row only; the third row is padding."""
    nan = math.nan
    labels = torch.tensor([[1.0, 0.0], [0.0, nan], [nan, nan]]).double()
    output = mixed_tasks([[0.2, 0.4], [0.3, 0.9], [0.5, 0.5]])
    loss = make_loss(("watched", "liked"), {"liked": 3.0})
    found = loss(output, labels, torch.tensor([1.0, 0.5, 0.0]))
    rows = [-math.log(0.2) - 3 * math.log(0.6), -math.log(0.7)]
    assert loss.rows(output, labels).tolist() == pytest.approx([*rows, 0.0])
    assert found.item() == pytest.approx((rows[0] + 0.5 * rows[1]) / 1.5)
    positive, negative = torch.autograd.grad(found, output[:2])
    taught = (positive + negative) != 0
    assert taught.tolist() == [[True, True], [True, False], [False, False]]


def test_loss_of_tasks_is_the_mean_of_its_chunks() -> None:
    """What the outer loop relies on: chunks weighted by their rows."""
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(10, 2, generator=generator).double()
    labels = torch.randint(0, 2, (10, 2), generator=generator).double()
    labels[torch.rand(10, generator=generator) < 0.5, 1] = math.nan
    loss = MeanLoss((1.0, 2.0))
    parts = [
        loss(mixed_tasks(p[rows].tolist()), labels[rows], torch.ones(len(labels[rows])))
        for rows in (slice(0, 3), slice(3, 10))
    ]
    whole = loss(mixed_tasks(p.tolist()), labels, torch.ones(10))
    torch.testing.assert_close(0.3 * parts[0] + 0.7 * parts[1], whole)


def test_task_weights_are_of_tasks_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"no task 'like'.*liked"):
        make_loss(("watched", "liked"), {"like": 1.0})
    with pytest.raises(ConfigError, match="needs no weight"):
        make_loss(("rating",), {"rating": 2.0})
    assert make_loss(("rating",), {}) is mean_loss

"""Properties that every multi-task model has, besides those of every base model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import MultiTaskModel
from metaselector.models.registry import BUILT_IN, model_class
from tests.base_models.multi_task_models import MODELS, ORDINARY, WITH_DROPOUT, total


def test_no_built_in_model_is_missing_here() -> None:
    here = {cls for cls, _ in MODELS.values()}
    for name in BUILT_IN:
        if issubclass(model_class(name), MultiTaskModel):
            assert model_class(name) in here


def test_logits_have_a_column_for_each_task(model: nn.Module, rows: Any) -> None:
    ids, values = rows
    assert model(rows).shape == (7, 2)
    assert model((ids[:1], values[:1])).shape == (1, 2)
    assert model((ids.view(1, 7, 1, 4), values.view(1, 7, 1, 4))).shape == (1, 7, 1, 2)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"esmm", "rnr"}), indirect=True)
def test_one_task_is_enough(name: str, build: Any, rows: Any) -> None:
    model = build(name, tasks=[(None,)])
    ids, values = rows
    assert model(rows).shape == (7, 1)
    assert model((ids[:1], values[:1])).shape == (1, 1)
    losses, penalty = model.losses(rows, torch.ones(7, 1).double())
    assert losses.shape == (1,)
    assert penalty == 0


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"rnr"}), indirect=True)
def test_a_chain_of_three_and_one_aside(name: str, build: Any, rows: Any) -> None:
    model = build(name, tasks=[(None,), (0,), (1,), (None,)])
    assert model(rows).shape == (7, 4)
    model(rows).square().sum().backward()
    assert not [key for key, p in model.named_parameters() if not p.grad.any()]


def test_groups_are_disjoint_and_cover_everything(model: Any) -> None:
    groups = model.parameter_groups()
    assert list(groups) == ["embedding", "shared", "task-0", "task-1"]
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert set(groups["embedding"]) == set(model.tables)


def test_groups_hold_what_their_task_alone_moves(name: str, model: Any, rows: Any) -> None:
    """The first task updates no parameter of the second, except experts that PLE's gates share."""
    groups = model.parameter_groups()
    model(rows)[..., 0].sum().backward()
    moved = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    of_second = moved.intersection(groups["task-1"])
    if not name.startswith("ple"):
        assert not of_second
    last = len(getattr(model, "levels", ())) - 1
    assert not any(key.startswith(("towers", f"levels.{last}")) for key in of_second)
    if name not in ("single-task", "per-task"):
        assert moved >= {*groups["shared"], *groups["task-0"]}


def test_all_parameters_get_a_gradient_from_the_losses(model: Any, rows: Any, labels: Any) -> None:
    total(model, rows, labels).backward()
    for key, p in model.named_parameters():
        assert p.grad is not None, key
        assert p.grad.any(), key


def test_losses_of_unlabelled_rows_are_0_in_the_graph(model: Any, rows: Any) -> None:
    losses, penalty = model.losses(rows, torch.full((7, 2), torch.nan).double())
    assert losses.tolist() == [0, 0]
    assert penalty == 0
    (losses.sum() + penalty).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads
    assert not any(grad.any() for grad in grads)


def test_unlabelled_rows_change_nothing(model: Any, rows: Any, labels: Tensor) -> None:
    keep = ~labels.isnan().all(-1)
    assert not keep.all()
    fewer = model.losses(tuple(part[keep] for part in rows), labels[keep])
    for a, b in zip(model.losses(rows, labels), fewer, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ORDINARY, indirect=True)
def test_losses_are_means_of_what_is_observed(model: Any, rows: Any, labels: Tensor) -> None:
    logits = model(rows)
    losses, penalty = model.losses(rows, labels)
    assert penalty == 0
    for t in range(2):
        of_rows = [
            F.softplus(-z if y else z)
            for z, y in zip(logits[:, t], labels[:, t].tolist(), strict=True)
            if y == y
        ]
        assert losses[t].item() == pytest.approx(torch.stack(of_rows).mean().item(), abs=1e-12)


@pytest.mark.parametrize("name", ORDINARY, indirect=True)
def test_a_task_that_no_row_observes_has_loss_0(model: Any, rows: Any, labels: Tensor) -> None:
    labels[:, 1] = torch.nan
    losses, _ = model.losses(rows, labels)
    assert losses[0] > 0
    assert losses[1] == 0
    losses[1].backward()  # in the graph


@pytest.mark.parametrize("name", ORDINARY, indirect=True)
def test_a_numeric_task_has_a_squared_error(build: Any, name: str, rows: Any) -> None:
    model = build(name, tasks=[(None, False), (None, True)])
    labels = torch.tensor([[1.0, 3.5]] * 7).double()
    losses, _ = model.losses(rows, labels)
    assert losses[1].item() == pytest.approx(((model(rows)[:, 1] - 3.5) ** 2).mean().item())


@pytest.mark.parametrize("name", WITH_DROPOUT, indirect=True)
def test_dropout_acts_in_training_only(build: Any, name: str, rows: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(name, dropout=0.5)
        assert not torch.equal(model(rows), model(rows))
        assert torch.equal(model.eval()(rows), model(rows))

"""What must hold of every multi-task model, besides what must of every base model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from base_models import (
    AITM,
    CGC,
    ESMM,
    LR,
    MRAN,
    PLE,
    MMoE,
    MultiTaskModel,
    PerTask,
    RnR,
    SharedBottom,
    SingleTask,
)
from base_models.contract import observed_losses
from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.rules import MAML
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.models.registry import BUILT_IN, model_class

SIZES = {"embedding_size": 2, "tower_sizes": (4,)}
EXPERTS = {**SIZES, "expert_sizes": (4, 3)}
MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "shared-bottom": (SharedBottom, {**SIZES, "bottom_sizes": (4,)}),
    "mmoe": (MMoE, EXPERTS),
    "omoe": (MMoE, {**EXPERTS, "gates": "one"}),
    "cgc": (CGC, EXPERTS),
    "ple": (PLE, {**EXPERTS, "levels": 3}),
    "ple-detached": (PLE, {**EXPERTS, "previous": "detached"}),
    "esmm": (ESMM, {"embedding_size": 2, "hidden_sizes": (4,)}),
    "aitm": (AITM, {**SIZES, "bottom_sizes": (4, 3)}),
    "rnr": (
        RnR,
        {
            "embedding_size": 3,
            "user_field": 0,
            "item_field": 1,
            "regularization": 0.3,
            "deviation_regularization": 0.2,
        },
    ),
    "mran": (MRAN, {"embedding_size": 4, "tower_sizes": (8,)}),
    "single-task": (SingleTask, {**SIZES, "bottom_sizes": (4,)}),
    "per-task": (PerTask, {"make": lambda: LR(9, [0, 1, 2, 2])}),
}
WITH_DROPOUT = sorted(set(MODELS) - {"rnr", "per-task"})
ORDINARY = sorted(set(MODELS) - {"esmm", "aitm", "rnr"})
"""Whose losses are those of the contract."""


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def build(make: Callable[..., Any]) -> Callable[..., MultiTaskModel]:
    def build(name: str, **more: Any) -> MultiTaskModel:
        cls, options = MODELS[name]
        model: MultiTaskModel = make(cls, **{**options, **more})
        return model

    return build


@pytest.fixture
def model(name: str, build: Callable[..., MultiTaskModel]) -> MultiTaskModel:
    return build(name)


def total(model: Any, batch: Any, labels: Tensor) -> Tensor:
    tasks, penalty = model.losses(batch, labels)
    return tasks.sum() + penalty


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
    """The first task moves nothing of the second one's, but for what PLE's shared gates read."""
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


def users_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters of two users, as leaves ``[2, ...]``."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: (p + 0.2 * torch.randn(2, *p.shape, generator=generator, dtype=p.dtype))
        .detach()
        .requires_grad_()
        for name, p in model.named_parameters()
    }


def after_a_step(losses: Callable[[dict[str, Tensor]], Tensor], params: dict[str, Tensor]) -> Any:
    """The losses ``[2]`` after a step of gradient descent, and their gradients."""
    grads = torch.autograd.grad(
        losses(params).sum(), list(params.values()), create_graph=True, materialize_grads=True
    )
    moved = {k: p - 0.1 * g for (k, p), g in zip(params.items(), grads, strict=True)}
    after = losses(moved)
    return after, torch.autograd.grad(after.sum(), list(params.values()), materialize_grads=True)


class Losses(nn.Module):
    """The total loss as the output, for ``functional_call``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Any, labels: Tensor) -> Tensor:
        return total(self.model, batch, labels)


def test_users_at_once_equal_users_one_by_one(model: Any, rows: Any, labels: Tensor) -> None:
    """Losses, and gradients through a gradient, with parameters, rows and labels of each user."""
    module = Losses(model)
    params = users_of(module)
    ids, values = (torch.stack([part, part.flip(0)]) for part in rows)
    of_users = torch.stack([labels, labels.roll(2, 0)])

    def one(params: dict[str, Tensor], ids: Tensor, values: Tensor, labels: Tensor) -> Tensor:
        with Intercept(Lookups().handlers):  # as all engines do
            return functional_call(module, params, ((ids, values), labels))

    def at_once(params: dict[str, Tensor]) -> Tensor:
        return vmap(one)(params, ids, values, of_users)

    def one_by_one(params: dict[str, Tensor]) -> Tensor:
        own = [{key: p[u] for key, p in params.items()} for u in range(2)]
        return torch.stack([one(own[u], ids[u], values[u], of_users[u]) for u in range(2)])

    losses, grads = after_a_step(at_once, params)
    expected_losses, expected_grads = after_a_step(one_by_one, params)
    torch.testing.assert_close(losses, expected_losses, rtol=1e-10, atol=1e-10)
    for key, grad, expected in zip(params, grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected, rtol=1e-9, atol=1e-9, msg=key)


def test_the_engine_adapts_them(name: str, model: Any, rows: Any, labels: Tensor) -> None:
    """One step on two rows, so that linear layers' weights are factored; then five rows."""
    params = dict(model.named_parameters())
    rule = MAML(0.1)
    adaptation = Adaptation(rule, 1, tuple(params))
    ids, values = (torch.stack([part, part.flip(0)]) for part in rows)
    of_users = torch.stack([labels, labels.flip(0)])
    support, query = (
        Rows(Batch(ids[:, part], values[:, part]), of_users[:, part], torch.ones(2, n).double())
        for part, n in ((slice(2), 2), (slice(2, None), 5))
    )

    def loss(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        return observed_losses(logits, labels, model.tasks).sum()

    def alone(u: int) -> Tensor:
        def logits(params: Any, rows: Rows) -> Tensor:
            batch = Batch(rows.batch.ids[u], rows.batch.values[u])
            with Intercept(Lookups().handlers):
                return functional_call(model, params, (batch,))

        first = loss(logits(params, support), support.labels[u], support.mask[u])
        grads = torch.autograd.grad(
            first, list(params.values()), create_graph=True, materialize_grads=True
        )
        rates = adaptation.initial_rates(params)
        return logits(rule.update(params, dict(zip(params, grads, strict=True)), rates), query)

    found = FuncEngine()(
        model, params, adaptation.initial_rates(params), adaptation, Episodes(support, query), loss
    )
    expected = torch.stack([alone(u) for u in range(2)])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    outer = [
        torch.autograd.grad(logits.sin().sum(), list(params.values()), materialize_grads=True)
        for logits in (found, expected)
    ]
    for key, grad, of_loop in zip(params, *outer, strict=True):
        torch.testing.assert_close(grad, of_loop, rtol=1e-8, atol=1e-8, msg=key)

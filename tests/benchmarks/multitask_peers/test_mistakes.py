"""Mistakes of the other libraries that our models do not make.

Each test also asserts the library's mistake, so it fails once the library fixes it.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import deepctr_torch_peer, torch_rechub_peer
from benchmarks.multitask_peers import deepctr_torch_models, torch_rechub_models
from benchmarks.peers import Column
from metaselector.training.multi_task.balance import Uncertainty
from tests.benchmarks.multitask_peers.twins import (
    OURS,
    SIZES,
    D,
    N,
    linears,
    of_torch_rechub,
    our_batch,
    ours,
    probabilities,
    randomise,
)


def without_gradient(model: Any, outputs: Tensor) -> set[str]:
    model.zero_grad(set_to_none=True)
    outputs.sum().backward()
    return {name for name, weights in model.named_parameters() if weights.grad is None}


def test_ple_of_deepctr_torch_cannot_share_more_experts_than_a_task_has(
    fields: dict[str, Column],
) -> None:
    sizes = SIZES._replace(task_experts=1, shared_experts=2)
    theirs = deepctr_torch_models(fields, sizes, D)["ple"]()
    with pytest.raises(IndexError):
        theirs(deepctr_torch_peer.inputs(fields))
    model = ours("ple", task_experts=1, shared_experts=2)
    assert [level.shared.count for level in model.levels] == [2, 2]
    assert not without_gradient(model, model(our_batch(fields)))


def test_ple_of_deepctr_torch_has_experts_that_nothing_reads(fields: dict[str, Column]) -> None:
    sizes = SIZES._replace(task_experts=3, shared_experts=1)
    theirs = deepctr_torch_models(fields, sizes, D)["ple"]()
    dead = without_gradient(theirs, theirs(deepctr_torch_peer.inputs(fields)))
    for level in range(SIZES.levels):
        for expert in range(3):
            name = f"shared_experts.{level}.0.{expert}.linears.0.weight"
            assert (name in dead) == (expert >= 1)
    model = ours("ple", task_experts=3, shared_experts=1)
    assert [level.shared.count for level in model.levels] == [1, 1]
    assert not without_gradient(model, model(our_batch(fields)))


def test_last_shared_gate_of_deepctr_torch_learns_nothing(fields: dict[str, Column]) -> None:
    theirs = deepctr_torch_models(fields, SIZES, D)["ple"]()
    dead = without_gradient(theirs, theirs(deepctr_torch_peer.inputs(fields)))
    assert dead == {"shared_gate_dnn_final_layer.1.weight"}
    model = ours("ple")
    assert [level.shared_gate is None for level in model.levels] == [False, True]
    assert not without_gradient(model, model(our_batch(fields)))


@pytest.fixture
def plain_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """No progress bars."""
    monkeypatch.setattr("torch_rechub.trainers.mtl_trainer.tqdm.tqdm", lambda rows, **_: rows)


def trainer(model: nn.Module, rate: float = 0.1, **options: Any) -> Any:
    """torch-rechub's trainer with plain gradient descent."""
    from torch_rechub.trainers import MTLTrainer

    descent = {"optimizer_fn": torch.optim.SGD, "optimizer_params": {"lr": rate}}
    return MTLTrainer(model, ["classification"] * 2, **descent, **options)


def quietly(theirs: Any, batches: list[tuple[dict[str, Tensor], Tensor]]) -> None:
    """Train one epoch without output."""
    with redirect_stdout(io.StringIO()):
        theirs.train_one_epoch(batches)


def test_aitm_of_torch_rechub_has_no_calibrator(
    fields: dict[str, Column], labels: Tensor, plain_progress: None
) -> None:
    inputs = torch_rechub_peer.inputs(fields)
    new = torch_rechub_models(fields, SIZES, D)["aitm"]
    theirs, plain = randomise(new()), randomise(new())
    plain.load_state_dict(theirs.state_dict())
    assert (probabilities(of_torch_rechub("aitm", plain), our_batch(fields)).diff() > 0).any()

    # A step of their trainer minimises the mean logloss and nothing else.
    plain.train()
    answers = labels.float()
    outputs = plain(inputs)
    losses = [F.binary_cross_entropy(outputs[:, t], labels[:, t]) for t in range(2)]
    (sum(losses) / 2).backward()
    quietly(trainer(theirs.float()), [(inputs, answers)])
    for before, after in zip(plain.parameters(), theirs.parameters(), strict=True):
        expected = before if before.grad is None else before - 0.1 * before.grad
        torch.testing.assert_close(after.double(), expected.detach(), rtol=1e-4, atol=1e-5)

    model = of_torch_rechub("aitm", plain)
    y = model.logits_of_all_rows(our_batch(fields)).sigmoid()
    expected = 0.6 * (y[:, 1] - y[:, 0]).relu().mean()
    assert expected > 0
    torch.testing.assert_close(model.losses(our_batch(fields), labels).penalty, expected)


@pytest.mark.parametrize("name", OURS)
def test_a_batch_of_one_row(name: str, fields: dict[str, Column], labels: Tensor) -> None:
    inputs = {field: ids[:1] for field, ids in torch_rechub_peer.inputs(fields).items()}
    theirs = torch_rechub_models(fields, SIZES, D)[name]()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs.train()(inputs)
    model = ours(name).train()
    ids, values = our_batch(fields)
    torch.testing.assert_close(model((ids[:1], values[:1])), model((ids, values))[:1])
    assert model.losses((ids[:1], values[:1]), labels[:1]).tasks.shape == (2,)


@pytest.mark.parametrize("name", OURS)
def test_a_row_does_not_depend_on_the_others(name: str, fields: dict[str, Column]) -> None:
    inputs = torch_rechub_peer.inputs(fields)
    theirs = torch_rechub_models(fields, SIZES, D)[name]().train()
    with torch.no_grad():
        for weights in theirs.parameters():
            weights.add_(torch.full_like(weights, 0.3) * torch.randn_like(weights))
        half = theirs({field: ids[: N // 2] for field, ids in inputs.items()})
        assert not torch.allclose(half, theirs(inputs)[: N // 2], atol=1e-3)
        model = ours(name).train()
        ids, values = our_batch(fields)
        half = model((ids[: N // 2], values[: N // 2]))
        torch.testing.assert_close(half, model((ids, values))[: N // 2])


def test_a_sure_esmm_of_deepctr_torch_stops_learning(fields: dict[str, Column]) -> None:
    theirs = randomise(deepctr_torch_models(fields, SIZES, D)["esmm"]())
    with torch.no_grad():
        theirs.cvr_dnn_final_layer.weight.zero_()
        theirs.out.bias.fill_(-1000.0)
    outputs = theirs(deepctr_torch_peer.inputs(fields).double())
    positive = torch.ones(N, 2, dtype=torch.double)
    loss = F.binary_cross_entropy(outputs, positive, reduction="none")
    loss.sum().backward()
    assert loss.max() == 100  # torch's bound on the logarithm of a probability of 0
    assert all(weights.grad.abs().max() == 0 for weights in theirs.ctr_dnn.parameters())

    model = ours("esmm")
    with torch.no_grad():
        for tower in model.towers:
            tower[-1].bias.fill_(-1000.0)
    found = model.losses(our_batch(fields), positive).tasks
    torch.testing.assert_close(found, torch.tensor([1000.0, 2000.0]).double(), rtol=1e-2, atol=0)
    found.sum().backward()
    assert all(tower[0].weight.grad.abs().max() > 0 for tower in model.towers)


def test_a_label_that_was_not_observed(
    fields: dict[str, Column], labels: Tensor, plain_progress: None
) -> None:
    labels = labels.clone()
    labels[labels[:, 0] == 0, 1] = torch.nan
    theirs = torch_rechub_models(fields, SIZES, D)["mmoe"]()
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        quietly(trainer(theirs), [(torch_rechub_peer.inputs(fields), labels.float())])

    model = ours("mmoe")
    seen = labels[:, 0] == 1
    ids, values = our_batch(fields)
    found = model.losses((ids, values), labels).tasks[1]
    alone = model.losses((ids[seen], values[seen]), labels[seen]).tasks[1]
    torch.testing.assert_close(found, alone)


def test_uncertainty_of_torch_rechub_cannot_favour_a_task(
    fields: dict[str, Column], plain_progress: None
) -> None:
    """A loss below 1/2 needs a negative log-variance, which theirs clamps at 0."""
    model = torch_rechub_models(fields, SIZES, D)["shared-bottom"]()
    with torch.no_grad():
        for tower in model.towers:
            linears(tower)[-1].bias.fill_(3.0)
    theirs = trainer(model, adaptive_params={"method": "uwl"})
    batches = [(torch_rechub_peer.inputs(fields), torch.ones(N, 2))]
    quietly(theirs, batches)
    stuck = [weight.item() for weight in theirs.loss_weight]
    for _ in range(20):
        quietly(theirs, batches)
    assert [weight.item() for weight in theirs.loss_weight] == stuck
    assert all(-0.1 < weight < 0 for weight in stuck)  # one step past 0

    balance = Uncertainty([1.0, 1.0], [False, False])
    losses = torch.tensor([0.05, 0.2])
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    for epoch in range(1, 201):
        optimizer.zero_grad()
        balance(losses, epoch).backward()
        optimizer.step()
    torch.testing.assert_close(balance.log_variances.detach(), torch.log(2 * losses))

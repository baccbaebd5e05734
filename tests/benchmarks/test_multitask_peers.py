"""The libraries we are timed beside: what is the same as ours, and which mistakes ours lack.

Each test of a mistake asserts theirs too, so that it fails once they mend it. `make
benchmark-peers` installs them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import AITM, ESMM, PLE, MMoE, MultiTaskModel, SharedBottom, Task
from base_models.blocks import Experts
from base_models.funnel import log_probabilities
from benchmarks.multitask_peers import (
    Sizes,
    deepctr_torch_models,
    of_all_rows,
    our_options,
    torch_rechub_models,
)
from benchmarks.peers import (
    Column,
    deepctr_torch_inputs,
    torch_rechub_inputs,
)
from metaselector.models.external.deepctr_torch import silence_version_check
from metaselector.training.multi_task.balance import Uncertainty

MISSING = "not installed; run `make benchmark-peers`"
silence_version_check()
pytest.importorskip("deepctr_torch", reason=MISSING)
pytest.importorskip("torch_rechub", reason=MISSING)

N, D = 12, 4
FIELD_SIZES = (7, 5, 9)
SIZES = Sizes((8, 6), (5,), 3, 2, 2, 2, (7, 5), (8, 4))
# torch-rechub takes the root of AITM's last width in float32; that of 4 is exact.
OURS: dict[str, type[MultiTaskModel]] = {
    "shared-bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "esmm": ESMM,
    "aitm": AITM,
}
FUNNEL = (Task(), Task(after=0))


@pytest.fixture
def fields() -> dict[str, Column]:
    """Of one slot each: both libraries round to float32 where they pool several."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: Column(size, torch.randint(1, size, (N, 1), generator=generator))
        for name, size in zip("abc", FIELD_SIZES, strict=True)
    }


@pytest.fixture
def labels() -> Tensor:
    """Of a funnel: the second is 0 where the first one is."""
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(N, generator=generator) < 0.6
    second = first & (torch.rand(N, generator=generator) < 0.5)
    return torch.stack([first, second], dim=1).double()


def our_batch(fields: dict[str, Column]) -> tuple[Tensor, Tensor]:
    """The same rows in one id space, where only one row is padding."""
    first = torch.tensor([1, *FIELD_SIZES[:-1]]).cumsum(0) - torch.arange(len(FIELD_SIZES))
    ids = torch.cat([column.ids for column in fields.values()], dim=1) - 1 + first
    return ids, torch.ones(ids.shape, dtype=torch.double)


def ours(name: str, **options: Any) -> Any:
    """Our model for `fields`."""
    ids = 1 + sum(size - 1 for size in FIELD_SIZES)
    torch.manual_seed(2)
    options = our_options(SIZES, D)[name] | options
    return OURS[name](ids, range(len(FIELD_SIZES)), FUNNEL, **options).double()


def linears(module: nn.Module) -> list[nn.Linear]:
    return [part for part in module.modules() if isinstance(part, nn.Linear)]


@torch.no_grad()
def copy(target: nn.Module, source: Iterable[nn.Linear]) -> None:
    """Give `target` the weights of `source`, layer by layer; a bias that it lacks there is 0."""
    for to, of in zip(linears(target), source, strict=True):
        to.weight.copy_(of.weight)
        if to.bias is not None:
            to.bias.copy_(torch.zeros(()) if of.bias is None else of.bias)
        elif of.bias is not None:
            of.bias.zero_()


@torch.no_grad()
def copy_experts(target: Experts, source: Sequence[nn.Module]) -> None:
    layers = [linears(each) for each in source]
    target.first.weight.copy_(torch.cat([own[0].weight for own in layers]))
    target.first.bias.copy_(torch.cat([own[0].bias for own in layers]))
    for i, later in enumerate(target.later, start=1):
        later.weight.copy_(torch.stack([own[i].weight.T for own in layers]))
        later.bias.copy_(torch.stack([own[i].bias for own in layers]))


@torch.no_grad()
def copy_tables(target: Any, tables: Iterable[nn.Embedding]) -> None:
    target.embedding.weight[1:] = torch.cat([table.weight[1:] for table in tables])


def randomise(model: nn.Module) -> Any:
    """Double, with weights that matter, and batch-norm that does nothing in evaluation mode."""
    model.double().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(std=0.5, generator=torch.Generator().manual_seed(weights.numel()))
        for part in model.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.weight.fill_(1)
                part.bias.zero_()
                part.running_mean.zero_()
                part.running_var.fill_(1 - part.eps)
    return model


def of_deepctr_torch(name: str, model: Any) -> Any:
    """Ours with the weights of DeepCTR-Torch's."""
    made = ours(name)
    copy_tables(made, (model.embedding_dict[field] for field in "abc"))
    if name == "esmm":
        towers = [
            [*linears(model.ctr_dnn), model.ctr_dnn_final_layer],
            [*linears(model.cvr_dnn), model.cvr_dnn_final_layer],
        ]
    else:
        pairs = zip(model.tower_dnn, model.tower_dnn_final_layer, strict=True)
        towers = [[*linears(dnn), last] for dnn, last in pairs]
    last = [model.out, model.out] if name == "esmm" else model.out
    for to, of, output in zip(made.towers, towers, last, strict=True):
        copy(to, of)
        to[-1].bias.data.copy_(output.bias)
    if name == "shared-bottom":
        copy(made.bottom, linears(model.bottom_dnn))
    elif name == "mmoe":
        copy_experts(made.experts, model.expert_dnn)
        copy(made.gates, model.gate_dnn_final_layer)
    elif name == "ple":
        for i, level in enumerate(made.levels):
            for to, of in zip(level.experts, model.specific_experts[i], strict=True):
                copy_experts(to, of)
            copy_experts(level.shared, model.shared_experts[i][0])
            copy(level.gates, model.specific_gate_dnn_final_layer[i])
            if level.shared_gate is not None:
                copy(level.shared_gate, [model.shared_gate_dnn_final_layer[i]])
    return made


def of_torch_rechub(name: str, model: Any) -> Any:
    """Ours with the weights of torch-rechub's, whose gates lose their bias."""
    made = ours(name)
    copy_tables(made, (model.embedding.embed_dict[field] for field in "abc"))
    towers = [model.tower_ctr, model.tower_cvr] if name == "esmm" else model.towers
    for to, of in zip(made.towers, towers, strict=True):
        copy(to, linears(of))
    if name == "shared-bottom":
        copy(made.bottom, linears(model.bottom_mlp))
    elif name == "mmoe":
        copy_experts(made.experts, model.experts)
        copy(made.gates, linears(model.gates))
    elif name == "ple":
        for level, cgc in zip(made.levels, model.cgc_layers, strict=True):
            n = SIZES.task_experts
            for t, experts in enumerate(level.experts):
                copy_experts(experts, cgc.experts_specific[t * n : (t + 1) * n])
            copy_experts(level.shared, cgc.experts_shared)
            copy(level.gates, linears(cgc.gates_specific))
            if level.shared_gate is not None:
                copy(level.shared_gate, linears(cgc.gate_shared))
    elif name == "aitm":
        for to, of in zip(made.bottoms, model.bottoms, strict=True):
            copy(to, linears(of))
        attention = model.aits[0]
        parts = [attention.v_layer, attention.q_layer, attention.k_layer]
        copy(made.transfers[1], [*linears(model.info_gates[0]), *parts])
    return made


def probabilities(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Of all rows, as the libraries predict them."""
    if isinstance(model, ESMM):
        return log_probabilities(model(batch), model.tasks)[0].exp()
    if isinstance(model, AITM):
        return model.logits_of_all_rows(batch).sigmoid()
    return model(batch).sigmoid()


@pytest.mark.parametrize("name", ["shared-bottom", "mmoe", "ple", "esmm"])
def test_predictions_of_deepctr_torch_are_ours(name: str, fields: dict[str, Column]) -> None:
    theirs = randomise(deepctr_torch_models(fields, SIZES, D)[name]())
    expected = theirs(deepctr_torch_inputs(fields).double())
    found = probabilities(of_deepctr_torch(name, theirs), our_batch(fields))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert expected.std(0).min() > 1e-3


@pytest.mark.parametrize("name", OURS)
def test_predictions_of_torch_rechub_without_batch_norm_are_ours(
    name: str, fields: dict[str, Column]
) -> None:
    theirs = randomise(torch_rechub_models(fields, SIZES, D)[name]())
    made = of_torch_rechub(name, theirs)  # takes the gates' biases away from both
    expected = of_all_rows(theirs(torch_rechub_inputs(fields)))
    found = probabilities(made, our_batch(fields))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    assert expected.std(0).min() > 1e-3


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
        theirs(deepctr_torch_inputs(fields))
    model = ours("ple", task_experts=1, shared_experts=2)
    assert [level.shared.count for level in model.levels] == [2, 2]
    assert not without_gradient(model, model(our_batch(fields)))


def test_ple_of_deepctr_torch_has_experts_that_nothing_reads(fields: dict[str, Column]) -> None:
    sizes = SIZES._replace(task_experts=3, shared_experts=1)
    theirs = deepctr_torch_models(fields, sizes, D)["ple"]()
    dead = without_gradient(theirs, theirs(deepctr_torch_inputs(fields)))
    for level in range(SIZES.levels):
        for expert in range(3):
            name = f"shared_experts.{level}.0.{expert}.linears.0.weight"
            assert (name in dead) == (expert >= 1)
    model = ours("ple", task_experts=3, shared_experts=1)
    assert [level.shared.count for level in model.levels] == [1, 1]
    assert not without_gradient(model, model(our_batch(fields)))


def test_last_shared_gate_of_deepctr_torch_learns_nothing(fields: dict[str, Column]) -> None:
    theirs = deepctr_torch_models(fields, SIZES, D)["ple"]()
    dead = without_gradient(theirs, theirs(deepctr_torch_inputs(fields)))
    assert dead == {"shared_gate_dnn_final_layer.1.weight"}
    model = ours("ple")
    assert [level.shared_gate is None for level in model.levels] == [False, True]
    assert not without_gradient(model, model(our_batch(fields)))


@pytest.fixture
def plain_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """No progress bars."""
    monkeypatch.setattr("torch_rechub.trainers.mtl_trainer.tqdm.tqdm", lambda rows, **_: rows)


def trainer(model: nn.Module, rate: float = 0.1, **options: Any) -> Any:
    """torch-rechub's, with plain gradient descent."""
    from torch_rechub.trainers import MTLTrainer

    descent = {"optimizer_fn": torch.optim.SGD, "optimizer_params": {"lr": rate}}
    return MTLTrainer(model, ["classification"] * 2, **descent, **options)


def quietly(theirs: Any, batches: list[tuple[dict[str, Tensor], Tensor]]) -> None:
    """One epoch."""
    with redirect_stdout(io.StringIO()):
        theirs.train_one_epoch(batches)


def test_aitm_of_torch_rechub_has_no_calibrator(
    fields: dict[str, Column], labels: Tensor, plain_progress: None
) -> None:
    inputs = torch_rechub_inputs(fields)
    new = torch_rechub_models(fields, SIZES, D)["aitm"]
    theirs, plain = randomise(new()), randomise(new())
    plain.load_state_dict(theirs.state_dict())
    assert (probabilities(of_torch_rechub("aitm", plain), our_batch(fields)).diff() > 0).any()

    # A step of their trainer is one on the loglosses' mean and nothing else, in the same mode.
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
    inputs = {field: ids[:1] for field, ids in torch_rechub_inputs(fields).items()}
    theirs = torch_rechub_models(fields, SIZES, D)[name]()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs.train()(inputs)
    model = ours(name).train()
    ids, values = our_batch(fields)
    torch.testing.assert_close(model((ids[:1], values[:1])), model((ids, values))[:1])
    assert model.losses((ids[:1], values[:1]), labels[:1]).tasks.shape == (2,)


@pytest.mark.parametrize("name", OURS)
def test_a_row_does_not_depend_on_the_others(name: str, fields: dict[str, Column]) -> None:
    inputs = torch_rechub_inputs(fields)
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
    outputs = theirs(deepctr_torch_inputs(fields).double())
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
        quietly(trainer(theirs), [(torch_rechub_inputs(fields), labels.float())])

    model = ours("mmoe")
    seen = labels[:, 0] == 1
    ids, values = our_batch(fields)
    found = model.losses((ids, values), labels).tasks[1]
    alone = model.losses((ids[seen], values[seen]), labels[seen]).tasks[1]
    torch.testing.assert_close(found, alone)


def test_uncertainty_of_torch_rechub_cannot_favour_a_task(
    fields: dict[str, Column], plain_progress: None
) -> None:
    """A loss below 1/2 wants a negative logarithm of the variance, which theirs clamps at 0."""
    model = torch_rechub_models(fields, SIZES, D)["shared-bottom"]()
    with torch.no_grad():
        for tower in model.towers:
            linears(tower)[-1].bias.fill_(3.0)
    theirs = trainer(model, adaptive_params={"method": "uwl"})
    batches = [(torch_rechub_inputs(fields), torch.ones(N, 2))]
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

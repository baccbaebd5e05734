"""Our multi-task models with the weights of another library's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from base_models import AITM, ESMM, PLE, MMoE, MultiTaskModel, SharedBottom, Task
from base_models.blocks import Experts
from base_models.funnel import log_probabilities
from benchmarks.multitask_peers import Sizes, our_options
from benchmarks.peers import Column

N, D = 12, 4
FIELD_SIZES = (7, 5, 9)
SIZES = Sizes((8, 6), (5,), 3, 2, 2, 2, (7, 5), (8, 4))
# torch-rechub computes the root of AITM's last width in float32; that of 4 is exact.
OURS: dict[str, type[MultiTaskModel]] = {
    "shared-bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "esmm": ESMM,
    "aitm": AITM,
}
FUNNEL = (Task(), Task(after=0))


def our_batch(fields: dict[str, Column]) -> tuple[Tensor, Tensor]:
    """The same rows in one id space with a single padding id."""
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
    """Copy weights layer by layer; a bias that one of the two lacks becomes 0 in the other."""
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
    """Make the model float64 with large weights and batch-norm without effect in evaluation."""
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
    """Our model with the weights of DeepCTR-Torch's."""
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
    """Our model with the weights of torch-rechub's, whose gates lose their bias."""
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
    """Probabilities over all rows, as the libraries predict them."""
    if isinstance(model, ESMM):
        return log_probabilities(model(batch), model.tasks)[0].exp()
    if isinstance(model, AITM):
        return model.logits_of_all_rows(batch).sigmoid()
    return model(batch).sigmoid()

"""Shared-Bottom, MMoE, CGC and PLE: parity with plain loops, and special cases."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from base_models import CGC, PLE, MMoE, SharedBottom, SingleTask
from base_models.blocks import Experts, Linears

Vector = list[float]
SIZES = {"embedding_size": 2, "tower_sizes": (4,)}
THREE = [(None,), (0,), (None,)]


def relu(x: Vector) -> Vector:
    return [max(a, 0.0) for a in x]


def times(weight: Any, x: Vector, bias: Any = None) -> Vector:
    """``weight x + bias`` for a weight ``[out][in]``."""
    bias = [0.0] * len(weight) if bias is None else bias
    return [sum(w * a for w, a in zip(row, x, strict=True)) + b for row, b in zip(weight, bias)]  # noqa: B905


def network(layers: nn.Module, x: Vector) -> Vector:
    """Output of a Sequential of linear layers and ReLU."""
    for layer in layers.children():
        if isinstance(layer, nn.Linear):
            x = times(layer.weight.tolist(), x, layer.bias.tolist())
        else:
            x = relu(x)
    return x


def expert(experts: Any, i: int, x: Vector) -> Vector:
    """Output of expert i of a pool."""
    size = experts.first.out_features // experts.count
    own = slice(i * size, (i + 1) * size)
    x = relu(times(experts.first.weight[own].tolist(), x, experts.first.bias[own].tolist()))
    for layer in experts.later:
        x = relu(times(layer.weight[i].T.tolist(), x, layer.bias[i].tolist()))
    return x


def outputs(experts: Any, x: Vector) -> list[Vector]:
    return [expert(experts, i, x) for i in range(experts.count)]


def mixture(gate: Any, x: Vector, experts: list[Vector]) -> Vector:
    powers = [math.exp(score) for score in times(gate.weight.tolist(), x)]
    assert len(powers) == len(experts)
    mixed = [0.0] * len(experts[0])
    for power, vector in zip(powers, experts, strict=True):
        mixed = [m + power / sum(powers) * v for m, v in zip(mixed, vector, strict=True)]
    return mixed


def embedded(model: Any, rows: Any) -> list[Vector]:
    """F * D numbers per row; the fields are user, item and the sum of the two genre slots."""
    table, flat = model.embedding.weight.tolist(), []
    for ids, values in zip(rows[0].tolist(), rows[1].tolist(), strict=True):
        slots = [[v * a for a in table[i]] for i, v in zip(ids, values, strict=True)]
        genres = [a + b for a, b in zip(slots[2], slots[3], strict=True)]
        flat.append([*slots[0], *slots[1], *genres])
    return flat


def assert_logits(model: Any, rows: Any, representations: Any) -> None:
    """`representations` maps the x of a row to the inputs of the towers."""
    expected = [
        [network(tower, z)[0] for tower, z in zip(model.towers, representations(x), strict=True)]
        for x in embedded(model, rows)
    ]
    torch.testing.assert_close(
        model(rows), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10
    )


def test_shared_bottom_equals_loops(make: Any, rows: Any) -> None:
    model = make(SharedBottom, THREE, bottom_sizes=(5, 3), **SIZES)
    assert_logits(model, rows, lambda x: [network(model.bottom, x)] * 3)


def test_mmoe_equals_loops(make: Any, rows: Any) -> None:
    model = make(MMoE, THREE, experts=3, expert_sizes=(5, 4, 3), **SIZES)
    assert_logits(
        model, rows, lambda x: [mixture(gate, x, outputs(model.experts, x)) for gate in model.gates]
    )


def level_by_hand(
    level: Any, streams: list[Vector], shared: Vector
) -> tuple[list[Vector], Vector | None]:
    own = [outputs(experts, s) for experts, s in zip(level.experts, streams, strict=True)]
    common = outputs(level.shared, shared)
    following = [mixture(level.gates[t], s, [*own[t], *common]) for t, s in enumerate(streams)]
    if level.shared_gate is None:
        return following, None
    everyone = [vector for vectors in own for vector in vectors]
    return following, mixture(level.shared_gate, shared, [*everyone, *common])


def test_cgc_equals_loops(make: Any, rows: Any) -> None:
    model = make(CGC, THREE, task_experts=2, shared_experts=3, expert_sizes=(5, 3), **SIZES)
    assert_logits(model, rows, lambda x: level_by_hand(model.extraction, [x] * 3, x)[0])


def test_ple_equals_loops(make: Any, rows: Any) -> None:
    model = make(
        PLE, THREE, levels=3, task_experts=2, shared_experts=1, expert_sizes=(5, 3), **SIZES
    )

    def representations(x: Vector) -> list[Vector]:
        streams, shared = [x] * 3, x
        for level in model.levels:
            streams, shared = level_by_hand(level, streams, shared)  # type: ignore[assignment]
        return streams

    assert_logits(model, rows, representations)


def test_ple_counts_each_kind_of_expert(make: Any) -> None:
    model = make(PLE, THREE, levels=2, task_experts=2, shared_experts=5, **SIZES)
    first, last = model.levels
    for level in (first, last):
        assert [experts.count for experts in level.experts] == [2, 2, 2]
        assert level.shared.count == 5
        assert [gate.out_features for gate in level.gates] == [7, 7, 7]
    assert first.shared_gate.out_features == 3 * 2 + 5
    assert last.shared_gate is None


def copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())


def test_ple_of_one_level_is_cgc(make: Any, rows: Any) -> None:
    cgc, ple = make(CGC, **SIZES), make(PLE, levels=1, seed=1, **SIZES)
    assert not torch.equal(cgc(rows), ple(rows))
    names = {name: name.replace("extraction.", "levels.0.") for name in cgc.state_dict()}
    ple.load_state_dict({names[name]: p for name, p in cgc.state_dict().items()})
    assert torch.equal(cgc(rows), ple(rows))


def as_bottom(experts: Any, bottom: Any) -> None:
    """Give the layers of `bottom` the weights of the only expert."""
    layers = [layer for layer in bottom if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        layers[0].weight.copy_(experts.first.weight)
        layers[0].bias.copy_(experts.first.bias)
        for layer, later in zip(layers[1:], experts.later, strict=True):
            layer.weight.copy_(later.weight[0].T)
            layer.bias.copy_(later.bias[0])


@pytest.mark.parametrize("gates", ["task", "one"])
def test_mmoe_with_one_expert_is_shared_bottom(make: Any, rows: Any, gates: str) -> None:
    mmoe = make(MMoE, experts=1, expert_sizes=(5, 3), gates=gates, **SIZES)
    shared = make(SharedBottom, bottom_sizes=(5, 3), seed=1, **SIZES)
    copy(mmoe.embedding, shared.embedding)
    copy(mmoe.towers, shared.towers)
    as_bottom(mmoe.experts, shared.bottom)
    torch.testing.assert_close(mmoe(rows), shared(rows), rtol=0, atol=1e-12)


def test_mmoe_with_equal_gates_is_omoe(make: Any, rows: Any) -> None:
    one, several = make(MMoE, gates="one", **SIZES), make(MMoE, seed=1, **SIZES)
    for part in ("embedding", "experts", "towers"):
        copy(getattr(one, part), getattr(several, part))
    assert not torch.equal(one(rows), several(rows))
    for gate in several.gates:
        copy(one.gate, gate)
    assert torch.equal(one(rows), several(rows))


def test_cgc_with_equal_experts_per_task_is_mmoe(make: Any, rows: Any) -> None:
    """A task whose own experts equal the shared ones mixes the shared ones."""
    cgc = make(CGC, task_experts=1, shared_experts=1, **SIZES)
    mmoe = make(MMoE, experts=1, seed=1, **SIZES)
    for part in ("embedding", "towers"):
        copy(getattr(cgc, part), getattr(mmoe, part))
    for experts in (*cgc.extraction.experts, mmoe.experts):
        copy(cgc.extraction.shared, experts)
    torch.testing.assert_close(cgc(rows), mmoe(rows), rtol=0, atol=1e-12)


def test_cgc_without_shared_experts_is_single_task_on_one_embedding(make: Any, rows: Any) -> None:
    cgc = make(CGC, task_experts=1, shared_experts=0, expert_sizes=(5, 3), **SIZES)
    single = make(SingleTask, bottom_sizes=(5, 3), seed=1, **SIZES)
    for t, model in enumerate(single.models):
        copy(cgc.embedding, model.embedding)
        layers = [layer for layer in model.mlp if isinstance(layer, nn.Linear)]
        as_bottom(cgc.extraction.experts[t], layers[:2])
        for source, layer in zip(cgc.towers[t][::2], layers[2:], strict=True):
            copy(source, layer)
    torch.testing.assert_close(cgc(rows), single(rows), rtol=0, atol=1e-12)


def test_ple_without_shared_experts_shares_the_embedding_only(make: Any, rows: Any) -> None:
    model = make(PLE, levels=2, shared_experts=0, expert_sizes=(6,), **SIZES)
    assert model.parameter_groups()["shared"] == ()
    model(rows)[:, 0].sum().backward()
    moved = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"embedding.weight", *model.parameter_groups()["task-0"]}


def test_tasks_may_weigh_experts_differently(make: Any, rows: Any) -> None:
    """Each gate nearly selects one expert, so equal towers read different inputs."""
    model = make(MMoE, experts=2, expert_sizes=(5,), **SIZES)
    copy(model.towers[0], model.towers[1])
    x = model.embed(rows)[:1]
    one_row = tuple(part[:1] for part in rows)
    with torch.no_grad():
        for t, gate in enumerate(model.gates):
            gate.weight.zero_()
            gate.weight[t] = 1e3 * x[0]
        for t in range(2):
            chosen = model.towers[t](model.experts(x)[:, t])
            torch.testing.assert_close(model(one_row)[:, t : t + 1], chosen, rtol=0, atol=1e-12)


@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3)])
def test_experts_keep_leading_axes(leading: tuple[int, ...]) -> None:
    experts = Experts(3, 4, (5, 2)).double()
    x = torch.rand(*leading, 4, dtype=torch.float64)
    assert experts(x).shape == (*leading, 3, 2)
    expected = torch.tensor(
        [outputs(experts, row) for row in x.reshape(-1, 4).tolist()], dtype=torch.float64
    )
    torch.testing.assert_close(experts(x).reshape(-1, 3, 2), expected, rtol=0, atol=1e-12)


def test_experts_start_as_linear_layers_do() -> None:
    bound = 100**-0.5
    for p in Linears(3, 100, 50).parameters():
        assert p.abs().max() <= bound
        assert p.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize(
    ("cls", "options", "problem"),
    [
        (SharedBottom, {"previous": "joint"}, "previous must be one of joined, detached, isolated"),
        (MMoE, {"gates": "two"}, "gates must be task or one, got 'two'"),
        (MMoE, {"experts": 0}, "at least one expert of one layer, got 0"),
        (MMoE, {"expert_sizes": ()}, r"at least one expert of one layer, got 4 of \[\]"),
        (CGC, {"task_experts": 0}, "at least one expert of one layer, got 0"),
        (CGC, {"shared_experts": -1}, "shared_experts must be 0 or more, got -1"),
        (PLE, {"levels": 0}, "levels must be 1 or more, got 0"),
    ],
)
def test_impossible_options(make: Any, cls: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make(cls, **options)

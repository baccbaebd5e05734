"""Functions as flat lists of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.func import vmap

from metaselector.models.kernels.operations import (
    NotRecordable,
    divided,
    is_recording,
    operations,
)

A, B, C = (torch.rand(3, generator=torch.Generator().manual_seed(i)) for i in range(3))


def calls(graph: fx.GraphModule) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def recorded(
    function: Callable[..., Sequence[Tensor]], *inputs: Tensor, constants: Sequence[Tensor] = ()
) -> fx.GraphModule:
    return operations(function, inputs, constants)


def second_derivative(x: Tensor, y: Tensor) -> list[Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (first,) = torch.autograd.grad((x.sin() * y).sum(), x, create_graph=True)
        return list(torch.autograd.grad(first.exp().sum(), x))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: [x + y, x * y],
        lambda x, y: [vmap(lambda a, b: (a * b).exp())(x, y)],
        second_derivative,
        lambda x, y: [torch.cat([x, y]).view(2, 3).sum(0)],
    ],
)
def test_other_inputs_give_what_the_function_gives(function: Any) -> None:
    graph = recorded(function, A, B)
    for inputs in ((A, B), (B, C), (C, A)):
        for found, expected in zip(graph(*inputs), function(*inputs), strict=True):
            assert torch.equal(found, expected)


def test_the_same_operation_runs_once() -> None:
    assert calls(recorded(lambda x: [(x + 1) * (x + 1)], A)) == [
        "aten.add.Tensor",
        "aten.mul.Tensor",
    ]


@pytest.mark.parametrize(("one", "two"), [(1, 1.0), (1, True), (0.0, -0.0)])
def test_equal_numbers_of_other_kinds_are_not_the_same(one: Any, two: Any) -> None:
    found = recorded(lambda x: [torch.full_like(x, one), torch.full_like(x, two)], A)(A)
    expected = [torch.full_like(A, one), torch.full_like(A, two)]
    for got, wanted in zip(found, expected, strict=True):
        assert torch.equal(got.signbit(), wanted.signbit())
    assert len(calls(recorded(lambda x: [torch.full_like(x, one), x * two], A))) == 2


def test_what_nothing_reads_does_not_run() -> None:
    def function(x: Tensor) -> list[Tensor]:
        x.exp()
        return [x.detach().sin()]

    assert calls(recorded(function, A)) == ["aten.sin.default"]


def test_it_is_being_recorded_only_meanwhile() -> None:
    seen: list[bool] = []

    def function(x: Tensor) -> list[Tensor]:
        seen.append(is_recording())
        return [x + 1]

    recorded(function, A)
    with pytest.raises(ZeroDivisionError):
        recorded(lambda x: [x / (1 // 0)], A)
    assert seen == [True]
    assert not is_recording()


def test_random_numbers_are_refused_and_not_drawn() -> None:
    state = torch.random.get_rng_state()
    with pytest.raises(NotRecordable, match="random"):
        recorded(lambda x: [torch.nn.functional.dropout(x, 0.5)], A)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_change_in_place_of_a_new_tensor_becomes_a_new_tensor() -> None:
    graph = recorded(lambda x, y: [(x > 0.5).logical_and_(y > 0.5)], A, B)
    assert "aten.logical_and.default" in calls(graph)
    assert torch.equal(graph(B, C)[0], (B > 0.5) & (C > 0.5))


def changed_input(x: Tensor) -> list[Tensor]:
    x.add_(1)
    return [x * 2]


def changed_view(x: Tensor) -> list[Tensor]:
    y = x * 2
    y[0].zero_()
    return [y]


def changed_and_read(x: Tensor) -> list[Tensor]:
    y = x * 2
    z = y.sin()
    y.add_(1)
    return [y, z]


@pytest.mark.parametrize("function", [changed_input, changed_view, changed_and_read])
def test_other_changes_in_place_are_refused(function: Any) -> None:
    with pytest.raises(NotRecordable, match="in place"):
        recorded(function, A.clone())


def test_shapes_that_depend_on_values_are_refused() -> None:
    with pytest.raises(NotRecordable, match="shape"):
        recorded(lambda x: [x.nonzero()], A)


def test_values_cannot_be_looked_at() -> None:
    with pytest.raises(RuntimeError):
        recorded(lambda x: [x * x.sum().item()], A)


def test_other_tensors_are_refused_but_constants_and_plain_numbers_are_not() -> None:
    with pytest.raises(NotRecordable, match="not given"):
        recorded(lambda x: [x + B], A)
    assert torch.equal(recorded(lambda x: [x + B], A, constants=[B])(C)[0], C + B)
    numbers = recorded(lambda x: [x * x.new_tensor([1.0, 2.0, 3.0])], A)
    assert torch.equal(numbers(C)[0], C * torch.tensor([1.0, 2.0, 3.0]))


def test_what_depends_on_some_inputs_alone_comes_first() -> None:
    graph = recorded(lambda x, y: [x * (y.exp() + torch.arange(3)), y.sin()], A, B)
    first, then = divided(graph, 1)
    assert sorted(calls(first)) == [
        "aten.add.Tensor",
        "aten.arange.default",
        "aten.exp.default",
        "aten.sin.default",
    ]
    assert calls(then) == ["aten.mul.Tensor"]
    found = then(C, A, *first(A))
    assert torch.equal(found[0], C * (A.exp() + torch.arange(3)))
    assert torch.equal(found[1], A.sin())


def test_without_such_inputs_only_constants_come_first() -> None:
    first, then = divided(recorded(lambda x: [x * torch.arange(3)], A), 1)
    assert calls(first) == ["aten.arange.default"]
    assert torch.equal(then(B, *first())[0], B * torch.arange(3))

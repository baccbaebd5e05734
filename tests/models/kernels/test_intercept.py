"""Functions of torch are replaced inside the context only, and nothing guarded slips through."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

import metaselector
from metaselector.models.kernels.intercept import (
    Intercept,
    UnexpectedUse,
    behind_vmap,
    has_private_names,
    in_vmap,
    needs_grad,
)

ONE = torch.ones(2)


def test_a_handler_gets_the_arguments_and_other_functions_run_as_ever() -> None:
    calls = []

    def handler(*args: Any, **kwargs: Any) -> Tensor:
        calls.append((args, kwargs))
        return torch.full((2,), 7.0)

    with Intercept({torch.add: handler}):
        assert torch.add(ONE, 3, alpha=2).tolist() == [7, 7]
        assert torch.mul(ONE, 3).tolist() == [3, 3]
    assert calls == [((ONE, 3), {"alpha": 2})]
    assert torch.add(ONE, 3, alpha=2).tolist() == [7, 7]
    assert len(calls) == 1  # the context is left


def test_a_handler_runs_outside_of_the_context() -> None:
    with Intercept({torch.add: lambda a, b: torch.add(a, b) * 10}, {"one": ONE}, [torch.add]):
        assert torch.add(ONE, 1).tolist() == [20, 20]


def test_the_inner_context_goes_first_and_its_handlers_see_the_outer_one() -> None:
    with Intercept({torch.add: lambda a, b: a * 10, torch.neg: lambda a: a * 100}):
        with Intercept({torch.add: lambda a, b: torch.add(a, b) * 3}):
            assert torch.add(ONE, 1).tolist() == [30, 30]
            assert torch.neg(ONE).tolist() == [100, 100]
        assert torch.add(ONE, 1).tolist() == [10, 10]


@pytest.mark.parametrize(
    "use",
    [
        lambda x: torch.neg(x),
        lambda x: x.T,
        lambda x: x * 2,
        lambda x: torch.add(ONE, other=x),
        lambda x: torch.stack([ONE, x]),
        lambda x: torch.cat(tensors=(ONE, x)),
        lambda x: torch.broadcast_tensors([ONE, [x]]),
        lambda x: torch.sub(ONE, x),
    ],
    ids=["argument", "method", "operator", "keyword", "list", "keyword-list", "nested", "handler"],
)
def test_unexpected_use_names_the_tensor(use: Callable[[Tensor], Any]) -> None:
    guarded = {"other": torch.zeros(2), "layer.weight": torch.zeros(2)}
    handlers = {torch.sub: lambda a, b: a, torch.relu: lambda a: a}
    with Intercept(handlers, guarded, [torch.relu]):
        torch.neg(torch.zeros(2))  # equal, but another tensor
        assert torch.relu(guarded["layer.weight"]) is guarded["layer.weight"]
        with pytest.raises(UnexpectedUse) as caught:
            use(guarded["layer.weight"])
    assert caught.value.name == "layer.weight"


def add_behind(seen: list[Any], **options: Any) -> Callable[..., Tensor]:
    """``a + b`` of a user's ``[2, 3]`` tensors by behind_vmap; `seen` gets what that passes on."""

    def add(per_user: tuple[bool, ...], a: Tensor, b: Tensor | None) -> Tensor:
        seen.append((per_user, tuple(a.shape), in_vmap(a)))
        return a if b is None else a + b

    return lambda a, b: behind_vmap(add, a, b, **options)


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("other", [None, 0, 1])
def test_behind_vmap_users_come_first(axis: int, other: int | None) -> None:
    a, b = torch.randn(4, 2, 3), torch.randn(4, 2, 3) if other is not None else torch.randn(2, 3)
    seen: list[Any] = []
    in_dims = (axis, other)
    moved = a.movedim(0, axis), b if other is None else b.movedim(0, other)
    assert torch.equal(vmap(add_behind(seen), in_dims)(*moved), a + b)
    assert seen == [((True, other is not None), (4, 2, 3), False)]


@pytest.mark.usefixtures("torch_names")
def test_behind_vmap_outside_of_it_nothing_is_per_user() -> None:
    seen: list[Any] = []
    a = torch.randn(2, 3)
    assert add_behind(seen)(a, None) is a
    assert seen == [((False, False), (2, 3), False)]


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("always", [False, True])
def test_behind_vmap_of_what_users_share(always: bool) -> None:
    """Three users and three rows: were rows taken for users, the shapes would fit."""
    shared = torch.randn(3, 3)
    add = add_behind([], always_per_user=always)
    if always and not has_private_names():
        with pytest.raises(RuntimeError, match="always_per_user"):
            add(shared, None)
        return
    result = vmap(lambda own: own + add(shared, None))(torch.zeros(3, 1))
    assert torch.equal(result, shared if always else shared.expand(3, 3, 3))


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_needs_grad_under_vmap(own: bool, grad: bool) -> None:
    answers = []

    def user(x: Tensor) -> Tensor:
        answers.append((in_vmap(x), needs_grad(x), needs_grad(x * 2)))
        return torch.zeros(())

    x = torch.randn(2, 3, requires_grad=grad)
    vmap(user if own else lambda _: user(x))(x)
    assert answers == [(own, grad, grad)]


def test_private_names_of_torch_are_in_one_file() -> None:
    package = Path(metaselector.__file__).parent
    private = re.compile(r"torch(\.\w+)*\._|from torch(\.\w+)* import _|_functorch")
    found = [path.name for path in package.rglob("*.py") if private.search(path.read_text())]
    assert found == ["intercept.py"]

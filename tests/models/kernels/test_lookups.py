"""Lookups equal torch's own, and what torch has not: a dense product, and a loop over users."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, vmap
from torch.nn import functional as F

from metaselector.common.errors import ConfigError
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from tests.models.kernels.lookups_by_hand import (
    USERS,
    D,
    V,
    assert_same,
    dense_bag,
    derivatives,
    random,
    random_ids,
)

pytestmark = pytest.mark.usefixtures("torch_names")

IDS = torch.tensor([0, 3, 3, 1, 0, 4])
NO_IDS = IDS[:0]
BAGS: dict[str, dict[str, Any]] = {
    "1-D": {"input": IDS, "offsets": torch.tensor([0, 1, 4])},
    "empty bags": {"input": IDS, "offsets": torch.tensor([0, 0, 4, 4, 6])},
    "last offset": {
        "input": IDS,
        "offsets": torch.tensor([0, 2, 2, 6]),
        "include_last_offset": True,
    },
    "2-D": {"input": IDS.reshape(3, 2)},
    "2-D, not contiguous": {"input": IDS.reshape(2, 3).T},
    "all bags empty": {"input": NO_IDS, "offsets": torch.tensor([0, 0])},
    "no bags": {"input": NO_IDS, "offsets": NO_IDS},
    "no rows": {"input": NO_IDS.reshape(0, 2)},
}
KINDS = {
    "sum": {"mode": "sum"},
    "mean": {"mode": "mean"},
    "sum without padding": {"mode": "sum", "padding_idx": 0},
    "mean without padding": {"mode": "mean", "padding_idx": 0},
}
SUMS = ["sum", "sum without padding"]  # torch has no weighted means


def looked_up(function: Callable[[], Any]) -> Any:
    with Intercept(Lookups().handlers):
        return function()


@pytest.mark.parametrize(
    ("kind", "weighted"),
    [*product(KINDS, [""]), *product(SUMS, ["constant weights", "differentiable weights"])],
)
@pytest.mark.parametrize("bags", BAGS)
def test_embedding_bag_equals_torch(bags: str, kind: str, weighted: str) -> None:
    table = random(V, D)
    options = {**BAGS[bags], **KINDS[kind], "weight": table}
    leaves = [table]
    if weighted:
        weights = random(*options["input"].shape, seed=1)
        options["per_sample_weights"] = weights
        weights.requires_grad_(weighted == "differentiable weights")
        leaves += [weights] if weights.requires_grad else []
    actual = looked_up(partial(F.embedding_bag, **options))
    expected = F.embedding_bag(**options)
    assert_same(actual, expected)
    uneven = random(*expected.shape, seed=2)
    assert_same(
        torch.autograd.grad(actual, leaves, uneven), torch.autograd.grad(expected, leaves, uneven)
    )


@pytest.mark.parametrize("padding_idx", [None, 0])
@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 2, 3), (0, 2), (0,), ()])
def test_embedding_equals_torch(shape: tuple[int, ...], padding_idx: int | None) -> None:
    table = random(V, D)
    ids = IDS[: int(np.prod(shape))].reshape(shape)
    actual = looked_up(lambda: F.embedding(ids, table, padding_idx))
    expected = F.embedding(ids, table, padding_idx)
    assert_same(actual, expected)
    uneven = random(*expected.shape, seed=2)
    (grad,) = torch.autograd.grad(actual, table, uneven)
    assert_same(grad, torch.autograd.grad(expected, table, uneven)[0])
    if padding_idx == 0:
        assert not grad[0].any()


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("where", ["left", "still in the context"])
def test_derivatives_equal_finite_differences(check: Callable[..., bool], where: str) -> None:
    def lookups(table: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
        bags = [
            F.embedding_bag(**BAGS["empty bags"], **kind, weight=table) for kind in KINDS.values()
        ]
        weighted = F.embedding_bag(
            **BAGS["2-D"], **KINDS["sum without padding"], weight=table, per_sample_weights=weights
        )
        return (*bags, weighted, F.embedding(IDS, table))

    arguments = random(V, D), random(3, 2, seed=1)
    if where == "left":
        assert check(lambda *tensors: looked_up(partial(lookups, *tensors)), arguments)
    else:
        with Intercept(Lookups().handlers):
            assert check(lookups, arguments)


def for_users(own: bool, tensor: Callable[..., Tensor], *shape: int) -> tuple[Tensor, int | None]:
    """A random tensor for all or for each, and the axis of users."""
    return (tensor(USERS, *shape), 0) if own else (tensor(*shape), None)


def per_user(tensor: Tensor, axis: int | None, user: int) -> Tensor:
    return tensor if axis is None else tensor.select(axis, user)


@pytest.mark.parametrize("own", [*product([False, True], repeat=3)], ids=str)
@pytest.mark.parametrize("kind", ["embedding", *KINDS, "weighted", "weighted without padding"])
def test_users_equal_a_loop_over_them(own: tuple[bool, bool, bool], kind: str) -> None:
    """With table, ids and weights per user or shared, and as many users as bags."""
    offsets = torch.tensor([0, 0, 4])
    weighted = kind.startswith("weighted")
    options = {} if kind == "embedding" else KINDS[kind.replace("weighted", "sum")]

    def fast(table: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        if kind == "embedding":
            return F.embedding(ids, table)
        given = weights if weighted else None
        return F.embedding_bag(ids, table, offsets, per_sample_weights=given, **options)

    def slow(table: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        if kind == "embedding":
            return F.one_hot(ids, V).double() @ table
        return dense_bag(ids, table, offsets, weights if weighted else None, **options)

    arguments = [
        for_users(own[0], random, V, D),
        for_users(own[1], random_ids, len(IDS)),
        for_users(own[2], partial(random, seed=1), len(IDS)),
    ]
    someone = torch.zeros(USERS)  # so that there are users where all is shared
    tensors, axes = zip(*arguments, strict=True)
    with Intercept(Lookups().handlers):
        actual = vmap(lambda _, *mine: fast(*mine), (0, *axes))(someone, *tensors)
    expected = torch.stack(
        [slow(*(per_user(*argument, user) for argument in arguments)) for user in range(USERS)]
    )
    leaves = [tensors[0], tensors[2]]
    assert_same(actual, expected)
    assert_same(derivatives(actual, leaves), derivatives(expected, leaves))


@pytest.mark.parametrize("own", [*product([False, True], repeat=2)], ids=str)
@pytest.mark.parametrize(
    "module",
    [
        nn.Embedding(V, D),
        nn.Embedding(V, D, padding_idx=0),
        nn.EmbeddingBag(V, D, mode="sum", include_last_offset=True),
        nn.EmbeddingBag(V, D, padding_idx=0),
    ],
    ids=["Embedding", "padded Embedding", "EmbeddingBag", "padded EmbeddingBag"],
)
def test_modules_under_vmap(module: nn.Module, own: tuple[bool, bool]) -> None:
    table, table_axis = for_users(own[0], random, V, D)
    ids, ids_axis = for_users(own[1], random_ids, len(IDS))
    offsets = (torch.tensor([0, 2, 2, len(IDS)]),) if isinstance(module, nn.EmbeddingBag) else ()

    def one(_: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
        return functional_call(module, {"weight": weight}, (ids, *offsets))

    someone = torch.zeros(USERS)
    with Intercept(Lookups().handlers):
        actual = vmap(one, (0, table_axis, ids_axis))(someone, table, ids)
    expected = torch.stack(
        [
            one(someone, per_user(table, table_axis, user), per_user(ids, ids_axis, user))
            for user in range(USERS)
        ]
    )
    assert_same(actual, expected)
    uneven = random(*expected.shape, seed=2)
    assert_same(
        torch.autograd.grad(actual, table, uneven), torch.autograd.grad(expected, table, uneven)
    )


REFUSED: list[tuple[str, dict[str, Any]]] = [
    (r"EmbeddingBag\(mode='max'\) cannot be adapted; use 'sum' or 'mean'", {"mode": "max"}),
    (
        "EmbeddingBag: per_sample_weights go with mode='sum' only",
        {"mode": "mean", "per_sample_weights": torch.ones(6)},
    ),
    (r"EmbeddingBag\(padding_idx=3\) cannot be adapted; the padding id is 0", {"padding_idx": 3}),
    (r"EmbeddingBag\(max_norm=...\) cannot be adapted; leave it out", {"max_norm": 1.0}),
    (r"EmbeddingBag\(scale_grad_by_freq=...\) cannot be adapted", {"scale_grad_by_freq": True}),
]


@pytest.mark.parametrize(("message", "options"), REFUSED, ids=[str(o) for _, o in REFUSED])
def test_refused_options_of_bags(message: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        looked_up(lambda: F.embedding_bag(IDS, random(V, D), torch.tensor([0]), **options))


@pytest.mark.parametrize(
    ("option", "value"), [("padding_idx", 3), ("max_norm", 1.0), ("scale_grad_by_freq", True)]
)
def test_refused_options_of_embeddings(option: str, value: Any) -> None:
    module = nn.Embedding(V, D, **{option: value})
    with pytest.raises(ConfigError, match=rf"^Embedding\({option}=.*\) cannot be adapted; "):
        looked_up(lambda: module(IDS))


def test_bags_that_begin_elsewhere_for_each_user_are_refused() -> None:
    table = random(V, D)

    def bag(offsets: Tensor) -> Tensor:
        return F.embedding_bag(IDS, table, offsets, mode="sum")

    with pytest.raises(ConfigError, match="offsets that differ between users cannot be adapted"):
        looked_up(lambda: vmap(bag)(torch.tensor([[0, 2], [0, 3]])))

"""What lookups keep from one call to the next is never taken for something else."""

from __future__ import annotations

import weakref
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

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


def assert_bags(table: Tensor, ids: Tensor, offsets: Tensor, weights: Tensor | None) -> None:
    """One lookup in the present context is right; with a first axis of users in all but offsets."""

    def bag(table: Tensor, ids: Tensor, weights: Tensor | None) -> Tensor:
        return F.embedding_bag(ids, table, offsets, mode="sum", per_sample_weights=weights)

    if table.dim() == 2:
        actual, expected = bag(table, ids, weights), dense_bag(ids, table, offsets, weights)
    else:
        actual = vmap(bag, (0, 0, None if weights is None else 0))(table, ids, weights)
        every = weights if weights is not None else [None] * USERS
        each = zip(ids, table, every, strict=True)
        expected = torch.stack([dense_bag(i, t, offsets, w) for i, t, w in each])
    assert_same(actual, expected)
    grads = (torch.autograd.grad(x.square().sum(), table) for x in (actual, expected))
    assert_same(*grads)


@pytest.mark.parametrize("users", [(), (USERS,)], ids=["alone", "users"])
def test_other_tables_weights_and_bags_of_the_same_ids(users: tuple[int, ...]) -> None:
    ids = random_ids(*users, 6)
    weights = [None, *(random(*users, 6, seed=seed).detach() for seed in (1, 2))]
    bags = [torch.tensor([0, 4]), torch.tensor([0, 1])]
    shapes = [(V, 2), (V, 3), (V + 3, 1), (V, 2)]
    with Intercept(Lookups().handlers):
        for seed, (shape, offsets, given) in enumerate(product(shapes, bags, weights)):
            assert_bags(random(*users, *shape, seed=seed), ids, offsets, given)


@pytest.mark.parametrize("users", [(), (USERS,)], ids=["alone", "users"])
def test_no_ids_get_the_memory_that_others_had_before(users: tuple[int, ...]) -> None:
    """They would be taken for those."""
    table, generator = random(*users, V, D), torch.Generator().manual_seed(0)
    seen = set()
    with Intercept(Lookups().handlers):
        for _ in range(30):
            ids = torch.randint(V, (*users, 4), generator=generator)
            weights = torch.rand(*users, 4, generator=generator, dtype=torch.float64)
            assert_bags(table, ids, torch.tensor([0, int(ids.max())]), weights)
            assert not seen.intersection({ids.data_ptr(), weights.data_ptr()})
            seen |= {ids.data_ptr(), weights.data_ptr()}
            del ids, weights


@pytest.mark.parametrize("users", [(), (USERS,)], ids=["alone", "users"])
@pytest.mark.parametrize("changed", ["ids", "weights", "offsets"])
def test_what_changes_in_place_is_read_anew(changed: str, users: tuple[int, ...]) -> None:
    table, ids, offsets = random(*users, V, D), random_ids(*users, 6), torch.tensor([0, 2])
    weights = torch.ones(*users, 6, dtype=torch.float64)
    with Intercept(Lookups().handlers):
        assert_bags(table, ids, offsets, weights)
        if changed == "ids":
            ids.copy_(ids.flip(-1) * 2 % V)
        elif changed == "weights":
            weights[..., 1] += 1
        else:
            offsets[1] += 1
        assert_bags(table, ids, offsets, weights)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("own", [False, True])
def test_memory_is_given_back_with_the_results(own: bool) -> None:
    memory = np.arange(USERS * 4).reshape(USERS, 4) % V
    alive = weakref.ref(memory)
    ids, table = torch.from_numpy(memory), random(V, D)
    del memory

    def lookup(ids: Tensor) -> Tensor:
        bags = F.embedding_bag(ids.reshape(-1, 2), table, mode="mean", padding_idx=0)
        return F.embedding(ids, table).sum() + bags.sum()

    with Intercept(Lookups().handlers):
        result = vmap(lookup)(ids) if own else lookup(ids)
    first, second = derivatives(result, [table])
    del ids
    assert alive() is not None  # for the graph
    del result, first, second
    assert alive() is None

"""Tables gathered side by side equal tables indexed one by one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from metaselector.models.kernels.lookups import Lookups
from metaselector.models.kernels.products import Matrix, Sorted
from tests.models.kernels.lookups_by_hand import USERS, D, assert_same, derivatives, random

ROWS = torch.tensor([[0, 2, 4, 5], [0, 1, 0, 0], [0, 3, 4, 0]])  # [U, L]


@pytest.mark.parametrize("height", [6, 200], ids=["small tables", "large tables"])
def test_gathered_tables_equal_indexed_ones(height: int) -> None:
    tables = {
        "narrow": random(height, 1),
        "wide": random(height, 3, seed=1),
        "flat": random(height, seed=2),
        "deep": random(height, 2, 2, seed=3),
    }
    actual = Lookups().gather(tables, ROWS)
    assert list(actual) == list(tables)
    for name, table in tables.items():
        assert_same(actual[name], table[ROWS])
        assert actual[name].is_contiguous()
        leaves = [table]
        assert_same(derivatives(actual[name], leaves), derivatives(table[ROWS], leaves))


def test_gathered_tables_keep_their_dtypes() -> None:
    tables = {"single": random(6, 2).detach().float(), "double": random(6, 2).detach()}
    for name, rows in Lookups().gather(tables, ROWS).items():
        assert rows.dtype == tables[name].dtype
        assert torch.equal(rows, tables[name][ROWS])


def test_nothing_to_gather() -> None:
    assert Lookups().gather({}, ROWS) == {}


def test_derivatives_of_several_products_equal_finite_differences() -> None:
    ids, starts = torch.tensor([0, 5, 5, 2, 7]), torch.tensor([0, 0, 3, 4])
    weights = random(5, seed=4).detach()
    matrix = Matrix(ids, weights, starts, Sorted(ids, 8), ((2, 2), (2, 4)))

    def products(*tables: Tensor) -> tuple[Tensor, ...]:
        return (*matrix.each(tables), matrix @ tables[0])

    tables = random(2, 4, 1), random(2, 4, D, seed=1)
    assert products(*tables)[1].shape == (2, 2, D)
    assert gradcheck(products, tables)
    assert gradgradcheck(products, tables)


def test_users_read_and_change_rows_of_their_own() -> None:
    table = random(6, D)
    rows = Lookups().gather({"table": table}, ROWS)["table"]
    assert rows.shape == (USERS, 4, D)
    (grad,) = torch.autograd.grad(rows[1].sum(), table)
    assert grad[:, 0].tolist() == [3, 1, 0, 0, 0, 0]  # user 1 has row 0 three times

"""Adam on the rows of a sparse gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metaselector.models.kernels.row_adam import RowAdam

SHAPES = [(5,), (5, 1), (5, 2, 3)]


def table(shape: tuple[int, ...]) -> torch.nn.Parameter:
    generator = torch.Generator().manual_seed(0)
    return torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))


def gradient(shape: tuple[int, ...], step: int) -> Tensor:
    generator = torch.Generator().manual_seed(1 + step)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def sparse(grad: Tensor, rows: list[int]) -> Tensor:
    return torch.sparse_coo_tensor(
        torch.tensor([rows]), grad[rows], grad.shape, check_invariants=True
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_with_all_rows_touched_it_is_dense_adam(shape: tuple[int, ...]) -> None:
    ours, theirs = table(shape), table(shape)
    row_adam, adam = RowAdam([ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1)
    for step in range(4):
        grad = gradient(shape, step)
        ours.grad, theirs.grad = sparse(grad, [0, 1, 2, 3, 4]), grad
        row_adam.step()
        adam.step()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


def test_untouched_rows_and_their_moments_stay() -> None:
    parameter = table((5, 2))
    optimizer = RowAdam([parameter], lr=0.1)
    parameter.grad = sparse(gradient((5, 2), 0), [0, 1, 2, 3, 4])
    optimizer.step()
    tensors = [parameter, *(optimizer.state[parameter][name] for name in ("mean", "square"))]
    before = [tensor.detach().clone() for tensor in tensors]
    parameter.grad = sparse(gradient((5, 2), 1), [1, 3])
    optimizer.step()
    for now, then in zip(tensors, before, strict=True):
        assert torch.equal(now[[0, 2, 4]], then[[0, 2, 4]])
        assert (now[[1, 3]] != then[[1, 3]]).all()


def test_gradients_of_the_same_row_add_up() -> None:
    once, twice = table((5, 2)), table((5, 2))
    grad = gradient((5, 2), 0)
    once.grad = sparse(2 * grad, [3])
    twice.grad = sparse(grad, [3]) + sparse(grad, [3])
    for parameter in (once, twice):
        RowAdam([parameter], lr=0.1).step()
    assert torch.equal(once, twice)


def test_groups_have_rates_and_a_parameter_without_gradient_stays() -> None:
    slow, fast, idle = (table((5, 2)) for _ in range(3))
    start = idle.detach().clone()
    optimizer = RowAdam([{"params": [slow, idle], "lr": 0.1}, {"params": [fast], "lr": 0.3}])
    for parameter in (slow, fast):
        parameter.grad = sparse(gradient((5, 2), 0), [2])
    optimizer.step()
    torch.testing.assert_close(fast - start, 3 * (slow - start))
    assert torch.equal(idle, start)

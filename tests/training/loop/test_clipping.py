"""Clipping, beside torch's own."""

from __future__ import annotations

import pytest
import torch

from metaselector.training.loop.clipping import clip_gradients


def parameters() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for shape in ((3, 4), (5,), (2, 2)):
        parameter = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        parameter.grad = torch.randn(shape, generator=generator, dtype=torch.float64)
        made.append(parameter)
    made[-1].grad = None
    return made


@pytest.mark.parametrize("most", [0.01, 1.0, 100.0])
def test_equals_torch(most: float) -> None:
    ours, theirs = parameters(), parameters()
    norm = clip_gradients(ours, most)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, most).item(), rel=1e-12)
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=2e-4, atol=0)  # its denominator has 1e-6
    after = torch.cat([p.grad.flatten() for p in ours[:-1]]).norm().item()
    assert after == pytest.approx(min(most, norm), rel=1e-12)


def test_sparse_rows_that_come_twice_are_one_gradient() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4, 1))
    rows, values = torch.tensor([[1, 1, 3]]), torch.tensor([[1.0], [2.0], [4.0]])
    parameter.grad = torch.sparse_coo_tensor(rows, values, (4, 1), check_invariants=True)
    assert clip_gradients([parameter], 1.0) == pytest.approx(5.0)
    expected = torch.tensor([[0.0], [0.6], [0.0], [0.8]])
    torch.testing.assert_close(parameter.grad.to_dense(), expected)


def test_nothing_to_clip() -> None:
    assert clip_gradients([torch.nn.Parameter(torch.zeros(2))], 1.0) == 0.0

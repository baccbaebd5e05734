"""Row-sparse gradients: both ways of exchanging them are the mean of dense ones."""

from __future__ import annotations

import pytest
import torch

from metaselector.training.distributed import communication
from metaselector.training.distributed.communication import make_communication
from metaselector.training.distributed.wire import apart, as_bytes, side_by_side

HEIGHT, WIDTHS = 40, ((), (3,), (2, 2))


def sparse(rows: list[int], seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    index = torch.tensor([rows])
    return [
        torch.sparse_coo_tensor(
            index,
            torch.randn(len(rows), *shape, generator=generator, dtype=torch.float64),
            (HEIGHT, *shape),
            check_invariants=True,
        ).coalesce()
        for shape in WIDTHS
    ]


@pytest.mark.parametrize("mine", [[0, 3, 7], list(range(40))], ids=["few", "most"])
def test_rows_are_averaged(mine: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker of four who all have the same gradients."""
    tables = [torch.nn.Parameter(torch.zeros(HEIGHT, *shape).double()) for shape in WIDTHS]
    monkeypatch.setattr(communication.workers, "count", lambda: 4)
    made = make_communication("sparse", tables, ())
    wire, sent = made._wire, []

    def all_gather(own: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        sent.append("gather")
        return [own] * 4

    def all_reduce(tensor: torch.Tensor) -> None:
        sent.append("reduce")
        tensor.mul_(4)

    monkeypatch.setattr(wire, "all_gather", all_gather)
    monkeypatch.setattr(wire, "all_reduce", all_reduce)
    gradients = sparse(mine, 0)
    futures = [made.later(gradient) for gradient in gradients]
    made.loss = 0.25
    made.finish(torch.device("cpu"))
    assert made.loss == 0.25
    for gradient, future in zip(gradients, futures, strict=True):
        torch.testing.assert_close(future.wait().to_dense(), gradient.to_dense())
    # Beyond half of the tables for four workers, whole tables are fewer bytes.
    assert sent == (["gather", "gather"] if len(mine) < 20 else ["gather", "reduce"])


def test_packing_and_its_inverse() -> None:
    parts = [torch.randn(5, *shape) for shape in WIDTHS]
    together = side_by_side(parts)
    assert together.shape == (5, 8)
    for part, again in zip(parts, apart(together, parts), strict=True):
        assert torch.equal(part, again)
    assert torch.equal(as_bytes(together).view(torch.float32), together)

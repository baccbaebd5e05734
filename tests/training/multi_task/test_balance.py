"""Weights of the task losses of a multi-task model."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from metaselector.common.errors import ConfigError, UserError
from metaselector.training.multi_task.aggregation import Aggregated, make_aggregator
from metaselector.training.multi_task.balance import Balance, Uncertainty, WeightedSum

LOSSES = torch.tensor([0.5, 2.0])
NO_PENALTY = torch.zeros(())


def test_a_sum_takes_the_weights() -> None:
    assert WeightedSum([1.0, 1.0])(LOSSES, 1).item() == 2.5
    assert WeightedSum([2.0, 0.5])(LOSSES, 1).item() == 2.0


def test_weights_decay_with_every_epoch() -> None:
    balance = WeightedSum([2.0, 1.0], [0.5, 1.0])
    found = [balance(LOSSES, epoch).item() for epoch in (1, 2, 3)]
    assert found == [1.0 + 2.0, 0.5 + 2.0, 0.25 + 2.0]


@pytest.mark.parametrize(
    ("numeric", "best"), [(False, lambda loss: math.log(2 * loss)), (True, math.log)]
)
def test_the_variance_at_a_fixed_loss(numeric: bool, best: Callable[[float], float]) -> None:
    """Kendall et al.: s* = log L of a number, log 2 L of a class; weights do not move it."""
    losses = torch.tensor([0.3, 1.7], dtype=torch.float64)
    balance = Uncertainty([1.0, 3.0], [numeric, numeric]).double()
    optimizer = torch.optim.LBFGS(balance.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = balance(losses, 1)
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = [best(loss) for loss in losses.tolist()]
    assert balance.log_variances.tolist() == pytest.approx(expected, abs=1e-6)


def test_variances_start_at_one() -> None:
    assert Uncertainty([1.0, 1.0], [False, True])(LOSSES, 1).item() == 0.5 + 1.0


def test_an_unobserved_task_keeps_its_variance() -> None:
    balance = Uncertainty([1.0, 1.0], [False, False])
    balance.backward(torch.tensor([2.0, 0.0]), NO_PENALTY, 1)
    assert balance.log_variances.grad is not None
    assert balance.log_variances.grad[0] != 0
    assert balance.log_variances.grad[1] == 0


class World(nn.Module):
    """Two tasks whose gradients of one shared parameter conflict, each with one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.own = nn.Parameter(torch.tensor([1.0, 1.0]))

    def losses(self) -> Tensor:
        first = self.shared[0] + self.own[0] ** 2
        second = -self.shared[0] + 2 * self.shared[1] + 3 * self.own[1]
        return torch.stack([first, second])

    def gradients(self, balance: Balance, losses: Tensor, penalty: Tensor) -> list[list[float]]:
        balance.backward(losses, penalty, 1)
        assert self.shared.grad is not None
        assert self.own.grad is not None
        return [self.shared.grad.tolist(), self.own.grad.tolist()]


def aggregated(
    world: World, aggregate: Callable[[Tensor], Tensor], weights: tuple[float, float] = (1.0, 1.0)
) -> Aggregated:
    return Aggregated(aggregate, weights, [world.shared], [world.own])


def test_an_aggregator_that_adds_is_the_weighted_sum() -> None:
    plain, world = World(), World()
    weights = (2.0, 0.5)
    expected = plain.gradients(WeightedSum(weights), plain.losses(), plain.shared.sum())
    balance = aggregated(world, lambda matrix: matrix.sum(0), weights)
    assert world.gradients(balance, world.losses(), world.shared.sum()) == expected


def test_only_shared_gradients_are_aggregated() -> None:
    seen = []

    def first(matrix: Tensor) -> Tensor:
        seen.append(matrix)
        return matrix[0]

    world = World()
    found = world.gradients(aggregated(world, first), world.losses(), NO_PENALTY)
    assert seen[0].tolist() == [[1.0, 0.0], [-1.0, 2.0]]
    assert found == [[1.0, 0.0], [2.0, 3.0]]


def test_an_unobserved_task_is_not_aggregated() -> None:
    world = World()
    losses = world.losses() * torch.tensor([0.0, 1.0])
    found = world.gradients(aggregated(world, lambda m: m.mean(0)), losses, NO_PENALTY)
    assert found == [[-1.0, 2.0], [0.0, 3.0]]


def test_frozen_parameters_get_no_gradient() -> None:
    world = World()
    world.shared.requires_grad_(False)
    aggregated(world, lambda m: m.mean(0)).backward(world.losses(), NO_PENALTY, 1)
    assert world.shared.grad is None
    assert world.own.grad is not None


def test_an_aggregator_is_no_part_of_what_is_trained() -> None:
    assert not list(aggregated(World(), lambda m: m.mean(0)).parameters())


def test_without_torchjd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    monkeypatch.delitem(sys.modules, "torchjd.aggregation", raising=False)
    with pytest.raises(UserError, match=r"pip install 'torchjd"):
        make_aggregator("PCGrad", {})


# With TorchJD, where it is installed


@pytest.fixture
def torchjd() -> None:
    pytest.importorskip("torchjd")


@pytest.mark.usefixtures("torchjd")
def test_pcgrad_projects_conflicts_away() -> None:
    """g1 = (1, 0), g2 = (-1, 2): each loses its part along the other, (0.8, 0.4) and (0, 2)."""
    world = World()
    balance = aggregated(world, make_aggregator("PCGrad", {}))
    found = world.gradients(balance, world.losses(), NO_PENALTY)
    assert found[0] == pytest.approx([0.8, 2.4])
    assert found[1] == [2.0, 3.0]


@pytest.mark.usefixtures("torchjd")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("PCGard", {}, "TorchJD has no 'PCGard'; did you mean 'PCGrad'"),
        ("MGDAWeighting", {}, "TorchJD has no 'MGDAWeighting'; valid names: AlignedMTL, "),
        ("CAGrad", {}, "missing 1 required positional argument: 'c'.*aggregator_options"),
        ("MGDA", {"steps": 1}, "unexpected keyword argument 'steps'.*aggregator_options"),
    ],
)
def test_impossible_aggregators(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_aggregator(name, options)

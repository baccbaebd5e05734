"""The episode as one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.meta.adapt.touched import as_tree, of_tree
from metaselector.models.kernels.replay import Recorder
from metaselector.models.kernels.trees import flatten, unflatten
from metaselector.models.losses import mean_loss, row_loss
from metaselector.models.mixture import MixtureOutput

RATE = 0.3


def load_params(world: Any) -> None:
    """Give the world's model the world's parameters."""
    with torch.no_grad():
        for name, p in world.model.named_parameters():
            p.copy_(world.params[name])


def make_episode(world: Any, rule: InnerRule, steps: int = 1) -> tuple[EpisodeLoss, dict[str, Any]]:
    load_params(world)
    rates = rule.init(world.params)
    adaptation = Adaptation(rule, steps, tuple(world.params))
    return EpisodeLoss(world.model, rates, adaptation, FuncEngine(), mean_loss), rates


def test_theta_phi_and_alpha_are_its_parameters(world: Any) -> None:
    episode, rates = make_episode(world, MetaSGD(RATE))
    held = {id(p) for p in episode.parameters()}
    assert {id(p) for p in world.model.parameters()} <= held
    assert len(held) == len(world.params) + len(rates)
    names = {name for name, _ in episode.named_parameters()}
    assert {f"model.{name}" for name in world.params} <= names


def test_rates_keep_their_names_and_values(world: Any) -> None:
    episode, rates = make_episode(world, MetaSGD(lambda name: 0.1 * len(name)))
    assert episode.rates.keys() == rates.keys()
    for name, rate in rates.items():
        assert torch.equal(episode.rates[name], rate)


@pytest.mark.parametrize(
    ("rule", "learnable"), [(MAML(RATE), False), (MetaSGD(RATE, granularity="element"), True)]
)
def test_only_learnable_rates_ask_for_a_gradient(
    world: Any, rule: InnerRule, learnable: bool
) -> None:
    episode, _ = make_episode(world, rule)
    assert {rate.requires_grad for rate in episode.alpha} == {learnable}


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_loss_is_the_mean_over_the_rows_that_the_engine_predicts(world: Any, steps: int) -> None:
    episode, rates = make_episode(world, MetaSGD(RATE), steps)
    output: MixtureOutput = FuncEngine()(
        world.model, world.params, rates, episode.adaptation, world.episodes, mean_loss
    )
    query = world.episodes.query
    rows = row_loss(output, query.labels)[query.mask.bool()]
    torch.testing.assert_close(episode(world.episodes), rows.mean(), rtol=1e-12, atol=0)


def test_every_parameter_gets_the_gradient_of_the_loss(world: Any) -> None:
    """Central differences along one random direction of all parameters together."""
    episode, _ = make_episode(world, MetaSGD(RATE))
    episode(world.episodes).backward()
    generator = torch.Generator().manual_seed(0)
    parameters = list(episode.parameters())
    assert all(p.grad is not None for p in parameters)
    directions = [
        torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in parameters
    ]
    expected = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))

    def loss_at(step: float) -> Tensor:
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(d, alpha=step)
            loss: Tensor = episode(world.episodes)
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(d, alpha=step)
        return loss

    step = 1e-5
    slope = (loss_at(step) - loss_at(-step)).item() / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-6)


def test_the_model_is_left_as_it_was(world: Any) -> None:
    episode, _ = make_episode(world, MetaSGD(RATE), 2)
    episode(world.episodes).backward()
    for name, p in world.model.named_parameters():
        assert torch.equal(p, world.params[name])


def test_a_frozen_parameter_gets_no_gradient(make_world: Callable[[torch.dtype], Any]) -> None:
    world = make_world(torch.float64)
    episode, _ = make_episode(world, MetaSGD(RATE))
    world.model.base_models.requires_grad_(False)
    episode(world.episodes).backward()
    assert all(p.grad is None for p in world.model.base_models.parameters())
    assert all(p.grad is not None for p in world.model.selector.parameters())


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_tables_get_sparse_gradients_of_the_touched_rows(world: Any, granularity: Any) -> None:
    episode, _ = make_episode(world, MetaSGD(RATE, granularity=granularity))
    episode(world.episodes).backward()
    parts = [world.episodes.support.batch.ids, world.episodes.query.batch.ids]
    touched = sorted({0, *(int(id_) for ids in parts for id_ in ids.flatten())})
    for name, p in world.model.named_parameters():
        assert p.grad.is_sparse == (name in world.model.tables), name
        if p.grad.is_sparse:
            assert p.grad.coalesce().indices()[0].tolist() == touched
    by_element = {name for name, rate in episode.rates.items() if rate.grad.is_sparse}
    assert by_element == (world.model.tables if granularity == "element" else set())


@pytest.mark.parametrize("users_at_once", [1, 2, 3])
def test_users_at_a_time_change_nothing(world: Any, users_at_once: int) -> None:
    episode, _ = make_episode(world, MetaSGD(RATE), 2)
    loss = episode(world.episodes)
    loss.backward()
    whole = {name: p.grad.to_dense() for name, p in episode.named_parameters()}
    episode.zero_grad()
    mean = episode.accumulate_gradients(world.episodes, users_at_once)
    assert mean == pytest.approx(loss.item(), rel=1e-12)
    for name, p in episode.named_parameters():
        torch.testing.assert_close(
            p.grad.to_dense(), whole[name], rtol=0, atol=1e-12, msg=f"{name}: {{}}".format
        )


@pytest.mark.parametrize("granularity", ["tensor", "element"])
def test_row_sparse_updates_equal_dense_ones(
    make_world: Callable[[torch.dtype], Any], granularity: Any
) -> None:
    """With plain gradient descent, in which nothing acts on untouched rows."""
    results = []
    for dense in (False, True):
        world = make_world(torch.float64)
        episode, _ = make_episode(world, MetaSGD(RATE, granularity=granularity))
        optimizer = torch.optim.SGD(episode.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            episode(world.episodes).backward()
            for p in episode.parameters():
                p.grad = p.grad.to_dense() if dense else p.grad
            optimizer.step()
        results.append({name: p.detach().clone() for name, p in episode.named_parameters()})
    for name, p in results[1].items():
        torch.testing.assert_close(results[0][name], p, rtol=0, atol=1e-14)


def gradients_of(episode: EpisodeLoss, batches: list[Episodes], users: int) -> list[Any]:
    """Losses and gradients of meta-batch after meta-batch."""
    found = []
    for batch in batches:
        episode.zero_grad()
        loss = episode.accumulate_gradients(batch, users, 0.5)
        grads = {n: p.grad.to_dense() for n, p in episode.named_parameters() if p.grad is not None}
        found.append((loss, grads))
    return found


@pytest.mark.parametrize(
    ("rule", "users"),
    [
        (MetaSGD(RATE), 2),
        (MetaSGD(RATE, granularity="element"), 3),
        (MetaSGD(RATE, second_order=False), 3),
        (MAML(RATE), 3),
    ],
    ids=["in chunks", "element", "first-order", "maml"],
)
def test_recorded_gradients_are_those_of_the_loop(
    make_world: Callable[[torch.dtype], Any], rule: InnerRule, users: int
) -> None:
    world = make_world(torch.float64)
    leaves, spec = flatten(as_tree(world.episodes))
    batches = [
        of_tree(unflatten(spec, iter([leaf.roll(by, 0) for leaf in leaves]))) for by in (0, 1, 2)
    ]
    found, recorder = [], Recorder(calls=1)
    for engine in (FuncEngine(), FuncEngine(recorder)):
        load_params(world)
        rates = rule.init(world.params)
        adaptation = Adaptation(rule, 1, tuple(world.params))
        episode = EpisodeLoss(world.model, rates, adaptation, engine, mean_loss)
        found.append(gradients_of(episode, 2 * batches, users))
    assert recorder.replays > 0
    assert not recorder.refused
    for (loss, grads), (wanted_loss, wanted) in zip(*found, strict=True):
        assert loss == pytest.approx(wanted_loss, rel=1e-14)
        assert grads.keys() == wanted.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(grad, wanted[name], rtol=0, atol=1e-14)


def test_recorded_gradients_leave_out_what_is_frozen(world: Any) -> None:
    episode, _ = make_episode(world, MetaSGD(RATE))
    episode.engine.recorder = Recorder(calls=0)
    world.model.base_models.requires_grad_(False)
    for _ in range(3):
        episode.zero_grad()
        episode.accumulate_gradients(world.episodes, 3)
    assert episode.engine.recorder.replays == 2
    assert all(p.grad is None for p in world.model.base_models.parameters())
    assert all(p.grad is not None for p in world.model.selector.parameters())

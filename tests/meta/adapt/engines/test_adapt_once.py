"""Users adapt once, and any of their queries is predicted as if they adapted for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.contract import Engine, InnerLoop, Loss
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.residuals import ResidualAttention
from metaselector.meta.adapt.rules import MAML, InnerRule
from tests.meta.adapt.engine_runner import RATE

QUERIES = 3


def other_queries(world: Any) -> list[Episodes]:
    """The same support with queries that touch other rows of the tables."""
    query, generator = world.episodes.query, torch.Generator().manual_seed(4)
    found = [world.episodes]
    for _ in range(QUERIES):
        ids = torch.randint(0, 14, query.batch.ids.shape, generator=generator)
        found.append(
            replace(world.episodes, query=replace(query, batch=Batch(ids, query.batch.values)))
        )
    return found


def test_any_query_is_predicted_as_by_adapting_for_it(
    engine: Engine,
    world: Any,
    rule: InnerRule,
    patterns: tuple[str, ...],
    make_adaptation: Any,
    loss: Loss,
) -> None:
    adaptation, rates = make_adaptation(world, rule, 2, patterns)
    loop = InnerLoop(world.model, world.params, rates, adaptation, world.episodes, loss)
    predict = engine.adapt_once(loop)
    for episodes in other_queries(world):
        with torch.no_grad():
            expected = engine(*loop._replace(episodes=episodes))
        for found, part in zip(predict(episodes), expected, strict=True):
            torch.testing.assert_close(found, part, rtol=0, atol=1e-12)
            assert not found.requires_grad


@pytest.mark.parametrize("steps", [0, 2])
def test_residuals_correct_every_query(
    engine: Engine, world_with_times: Any, make_adaptation: Any, loss: Loss, steps: int
) -> None:
    world = world_with_times
    residuals = ResidualAttention(("one", "other"), prior=1.0)
    adaptation, rates = make_adaptation(world, MAML(RATE), steps, residuals=residuals)
    loop = InnerLoop(world.model, world.params, rates, adaptation, world.episodes, loss)
    predict = engine.adapt_once(loop)
    for episodes in other_queries(world):
        with torch.no_grad():
            expected = engine(*loop._replace(episodes=episodes))
        for found, part in zip(predict(episodes), expected, strict=True):
            torch.testing.assert_close(found, part, rtol=0, atol=1e-12)


def test_the_inner_loop_runs_once(
    world: Any, make_adaptation: Any, loss: Loss, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    update = MAML.update

    def spy(*arguments: Any) -> Any:
        steps.append(1)
        return update(*arguments)

    monkeypatch.setattr(MAML, "update", spy)
    adaptation, rates = make_adaptation(world, MAML(RATE), 2)
    loop = InnerLoop(world.model, world.params, rates, adaptation, world.episodes, loss)
    predict = FuncEngine().adapt_once(loop)
    assert len(steps) == 2
    for episodes in other_queries(world):
        predict(episodes)
    assert len(steps) == 2


class Shrinking(MAML):
    """A rule that changes every parameter, also rows of tables that the support never reads."""

    def update(self, params: Any, grads: Any, rates: Any) -> dict[str, Any]:
        return {n: 0.9 * p - rates[n] * grads[n] for n, p in params.items()}


def test_a_rule_that_changes_untouched_rows_adapts_for_every_query(
    world: Any, make_adaptation: Any, loss: Loss
) -> None:
    engine = FuncEngine()
    adaptation, rates = make_adaptation(world, Shrinking(RATE), 2)
    loop = InnerLoop(world.model, world.params, rates, adaptation, world.episodes, loss)
    predict = engine.adapt_once(loop)
    for episodes in other_queries(world):
        with torch.no_grad():
            expected = engine(*loop._replace(episodes=episodes))
        assert torch.equal(predict(episodes).log_positive, expected.log_positive)

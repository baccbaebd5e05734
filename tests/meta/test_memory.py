"""Inner loops that come again are not run again, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import Episodes, load_episodes, window_episodes
from metaselector.meta import outer_loop
from metaselector.meta.adapt.contract import Engine, InnerLoop
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.finetune_settings import Choice
from metaselector.meta.memory import RunsOnce
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import make_adaptation
from metaselector.models.kernels.trees import flatten
from metaselector.models.losses import make_loss
from tests.meta.outer_world import CONFIG, EPOCHS, equal, mixture, parameters, planted, train


class Counting(FuncEngine):
    """Counts its inner loops."""

    def __init__(self) -> None:
        super().__init__()
        self.loops = 0

    def with_unadapted(self, loop: InnerLoop) -> tuple[Any, Any]:
        self.loops += 1
        return super().with_unadapted(loop)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def residuals_trained(dataset: EncodedDataset) -> MetaParameters:
    early = mixture(dataset, 1)
    chosen = MetaParameters({}, {}, Choice(steps=2).alpha(early))
    return train("user-finetuned-residuals", dataset, early=early, start_from=chosen)


def test_the_correction_is_validated_without_another_inner_loop(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And learned as if every epoch ran them again, bit by bit."""
    counting = Counting()
    monkeypatch.setattr(outer_loop, "RunsOnce", lambda engine: RunsOnce(counting))
    kept = residuals_trained(dataset)
    once = counting.loops
    counting.loops = 0
    monkeypatch.setattr(outer_loop, "RunsOnce", lambda engine: counting)
    again = residuals_trained(dataset)
    assert 0 < once * (EPOCHS + 1) == counting.loops
    assert equal(kept.alpha, again.alpha)
    losses = [[row["valid_loss"] for row in found.history] for found in (kept, again)]
    assert losses[0] == losses[1]
    assert len(set(losses[0])) > 1


def test_what_is_learned_in_the_inner_loop_is_validated_anew(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(engine: Engine) -> Engine:
        raise AssertionError("the inner loop changes in every epoch")

    monkeypatch.setattr(outer_loop, "RunsOnce", refuse)
    train("metaselector", dataset)


def test_what_is_kept_has_no_graph(dataset: EncodedDataset) -> None:
    """Else all tensors of the first step stay in memory, for every chunk of users."""
    model = mixture(dataset, 1)
    adaptation = make_adaptation("metaselector", model, CONFIG)
    loss = make_loss(dataset.schema.tasks, CONFIG.adapt.task_weights)
    episodes = load_episodes(dataset, window_episodes(dataset, (80, 90), 5).some(np.arange(3)))
    rates = adaptation.initial_rates(parameters(model))
    loop = InnerLoop(model, parameters(model), rates, adaptation, episodes, loss)
    for output in RunsOnce(FuncEngine()).with_unadapted(loop):
        assert not any(leaf.requires_grad for leaf in flatten(output)[0])


@pytest.mark.parametrize("changed", ["support.labels", "query.ids", "query.hours"])
def test_other_rows_are_not_mistaken_for_those_kept(dataset: EncodedDataset, changed: str) -> None:
    model = mixture(dataset, 1)
    adaptation = make_adaptation("metaselector", model, CONFIG)
    alpha = adaptation.initial_rates(parameters(model))
    loss = make_loss(dataset.schema.tasks, CONFIG.adapt.task_weights)
    rows = window_episodes(dataset, (80, 90), 5).some(np.arange(3))
    engine = RunsOnce(FuncEngine())

    @torch.no_grad()
    def outputs(engine: Engine, episodes: Episodes) -> Any:
        return engine(model, parameters(model), alpha, adaptation, episodes, loss)

    episodes = load_episodes(dataset, rows)
    first = outputs(engine, episodes)
    assert torch.equal(outputs(engine, episodes).log_positive, first.log_positive)
    part, field = changed.split(".")
    old = getattr(episodes, part)
    if field == "labels":
        new = replace(old, labels=1 - old.labels)
    elif field == "hours":
        new = replace(old, hours=torch.zeros_like(old.mask) if old.hours is None else old.hours + 9)
    else:
        ids = old.batch.ids.flip(-2)
        new = replace(old, batch=old.batch._replace(ids=ids))
    other = replace(episodes, **{part: new})
    expected = outputs(FuncEngine(), other)
    assert torch.equal(outputs(engine, other).log_positive, expected.log_positive)
    if field != "hours":
        assert not torch.equal(expected.log_positive, first.log_positive)

"""Validation on later base models, predictions and traces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metaselector.config import ResidualsConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import EpisodeRows, load_episodes, window_episodes
from metaselector.meta import adapted as module
from metaselector.meta.adapt.contract import InnerLoop, Step
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.variants import make_adaptation
from tests.meta.outer_world import (
    CONFIG,
    EPOCHS,
    equal,
    mixture,
    parameters,
    planted,
    train,
    with_adapt,
)


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def test_the_later_mixture_is_restored(dataset: EncodedDataset) -> None:
    later = mixture(dataset, 2)
    before = parameters(later)
    train("metaselector", dataset, later=later)
    assert equal(parameters(later), before)


def test_validation_reads_the_later_base_models_with_phi_and_shift(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, later = mixture(dataset, 1), mixture(dataset, 2)
    early_before, later_before = parameters(early), parameters(later)
    judged: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    predict = AdaptedModel.predict

    def spy(model: AdaptedModel, dataset: EncodedDataset, episodes: EpisodeRows) -> Any:
        valid = window_episodes(dataset, (80, 90), CONFIG.adapt.support_size)
        assert np.array_equal(episodes.query, valid.query)
        judged.append((parameters(model.mixture), parameters(early)))
        return predict(model, dataset, episodes)

    monkeypatch.setattr(AdaptedModel, "predict", spy)
    train("metaselector", dataset, early=early, later=later)
    assert len(judged) == EPOCHS + 1
    for seen, learned in judged:
        for name, p in seen.items():
            if name.startswith("selector."):
                assert torch.equal(p, learned[name])
            else:
                assert torch.equal(p, later_before[name] + (learned[name] - early_before[name]))


def test_predictions_and_traces_run_on_the_engine_of_the_settings(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And end in the same weights, after a single inner loop each."""
    loops: list[bool] = []

    class Spy(FuncEngine):
        def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
            if loop.adaptation.steps:
                loops.append(every_step)
            return super().run(loop, every_step=every_step)

        def with_unadapted(self, loop: InnerLoop) -> tuple[Any, Any]:
            loops.append(False)
            return super().with_unadapted(loop)

    monkeypatch.setattr(module, "make_engine", {"higher": Spy()}.__getitem__)
    model, settings = mixture(dataset, 1), with_adapt(engine="higher")
    adaptation, config = make_adaptation("metaselector", model, settings), settings.adapt
    alpha = adaptation.initial_rates(parameters(model))
    adapted = AdaptedModel.of_settings(model, alpha, adaptation, dataset.schema.tasks, config)
    rows = window_episodes(dataset, (80, 90), config.support_size).some(np.arange(3))
    found = adapted.predict(dataset, rows)
    assert loops == [False]
    trace = adapted.trace(load_episodes(dataset, rows))
    assert loops == [False, True]
    assert len(trace.weights) == config.steps + 1
    users = dataset.users[found.rows]
    means = [found.weights[users == user].mean(0) for user in rows.users]
    np.testing.assert_allclose(trace.weights[-1], means, atol=1e-6)
    none = adapted.with_steps(0).trace(load_episodes(dataset, rows))
    assert np.array_equal(none.weights, trace.weights[:1])


def test_the_correction_moves_predictions_but_no_weights_and_no_trace(
    dataset: EncodedDataset,
) -> None:
    model = mixture(dataset, 1)
    adaptation = make_adaptation("metaselector", model, CONFIG)
    assert adaptation.residuals is not None
    alpha = adaptation.initial_rates(parameters(model))
    rows = window_episodes(dataset, (80, 90), CONFIG.adapt.support_size)
    corrected, plain = (
        AdaptedModel.of_settings(model, alpha, each, dataset.schema.tasks, CONFIG.adapt)
        for each in (adaptation, replace(adaptation, residuals=None))
    )
    found, without = (adapted.predict(dataset, rows) for adapted in (corrected, plain))
    assert np.array_equal(found.weights, without.weights)
    assert not np.isclose(found.probabilities, without.probabilities, atol=1e-4).any()
    episodes = load_episodes(dataset, rows)
    for now, before in zip(corrected.trace(episodes)[:2], plain.trace(episodes)[:2], strict=True):
        assert np.array_equal(now, before)
    nothing = rows.most_recent(0)
    alone = (adapted.predict(dataset, nothing).probabilities for adapted in (corrected, plain))
    np.testing.assert_allclose(*alone, rtol=0, atol=1e-6)


def test_similarities_are_asked_for_where_they_count(dataset: EncodedDataset) -> None:
    """A row that resembles the query row counts more; only the correction looks at it."""

    class Alike:
        names = ("one",)
        asked = 0

        def __call__(self, dataset: EncodedDataset, rows: EpisodeRows) -> torch.Tensor:
            Alike.asked += 1
            shape = (*rows.query.shape, rows.support.shape[1], 1)
            return torch.linspace(0, 1, int(np.prod(shape))).reshape(shape)

    model = mixture(dataset, 1)
    model.similarity = Alike()  # type: ignore[assignment]
    rows = window_episodes(dataset, (80, 90), CONFIG.adapt.support_size)
    found = {}
    for gamma in (0.0, 2.0, None):
        settings = ResidualsConfig(enabled=gamma is not None, gamma=gamma or 0.0)
        config = with_adapt(residuals=settings)
        adaptation = make_adaptation("metaselector", model, config)
        alpha = adaptation.initial_rates(parameters(model))
        assert ("residuals/similarity" in alpha) == settings.enabled
        adapted = AdaptedModel.of_settings(
            model, alpha, adaptation, dataset.schema.tasks, config.adapt
        )
        found[gamma] = adapted.predict(dataset, rows).probabilities
    assert Alike.asked == 2
    assert not np.allclose(found[0.0], found[2.0], atol=1e-4)
    learned = train("metaselector", dataset, early=model, later=model)
    assert learned.alpha["residuals/similarity"].shape == (1,)


def test_users_who_share_a_chunk_do_not_matter(dataset: EncodedDataset) -> None:
    """Neither do the sizes of their supports, which the rows of a chunk are cut to."""
    model = mixture(dataset, 1)
    rows = window_episodes(dataset, (80, 100), 12)
    rows = rows.most_recent(np.arange(len(rows.users)) % 13)
    found = []
    for users in (1, 3, len(rows.users)):
        config = with_adapt(max_users_per_chunk=users)
        adaptation = make_adaptation("metaselector", model, config)
        alpha = adaptation.initial_rates(parameters(model))
        adapted = AdaptedModel.of_settings(
            model, alpha, adaptation, dataset.schema.tasks, config.adapt
        )
        found.append(adapted.predict(dataset, rows))
    for other in found[1:]:
        assert np.array_equal(other.rows, found[0].rows)
        np.testing.assert_allclose(other.probabilities, found[0].probabilities, atol=1e-6)
        np.testing.assert_allclose(other.weights, found[0].weights, atol=1e-6)

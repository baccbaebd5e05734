"""Validation on later base models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import EpisodeRows, window_episodes
from metaselector.meta.adapted import AdaptedModel
from tests.meta.outer_world import CONFIG, EPOCHS, equal, mixture, parameters, planted, train


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

"""Similarities are built once, when they are asked for, and kept for episodes that come again."""

from __future__ import annotations

import weakref
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.models.similarity.contract import Similarities
from metaselector.runs.run_similarity import LateSimilarity


class Counted:
    """Another number in every call."""

    names = ("counted",)

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        self.calls += 1
        shape = (*episodes.query.shape, episodes.support.shape[1], 1)
        return torch.full(shape, float(self.calls))


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(2, 10, 4, np.random.default_rng(0)).dataset


def episode(row: int, *, limit: int | None = None) -> EpisodeRows:
    limits = None if limit is None else np.array([limit])
    return EpisodeRows(np.array([0]), np.array([[0]]), np.array([[row]]), limits)


def test_what_built_them_is_not_kept(dataset: EncodedDataset) -> None:
    """It holds copies of the base models."""
    built = []

    def build(model: nn.Module) -> Similarities:
        built.append(type(model))
        return Similarities({})

    model = nn.Linear(1, 1)
    held = weakref.ref(model)
    late = LateSimilarity(partial(build, model), dataset)
    del model
    assert held() is not None
    assert built == []
    assert late.names == ()
    assert held() is None
    assert late.parts == {}
    assert len(built) == 1


def test_a_failure_is_told_again(dataset: EncodedDataset) -> None:
    def build() -> Similarities:
        raise ValueError("no luck")

    late = LateSimilarity(build, dataset)
    for _ in range(2):
        with pytest.raises(ValueError, match="no luck"):
            _ = late.names


def test_what_comes_again_is_computed_once(dataset: EncodedDataset) -> None:
    late = LateSimilarity(lambda: Similarities({"counted": Counted()}), dataset)
    with torch.no_grad():
        found = [late(dataset, each).item() for each in (episode(1), episode(2), episode(1))]
        assert found == [1, 2, 1]
        assert late(dataset, episode(1, limit=3)).item() == 3  # may read fewer positives
        other = planted_world(2, 10, 4, np.random.default_rng(1)).dataset
        assert late(other, episode(1)).item() == 4
    assert late(dataset, episode(1)).item() == 5  # in training
    with torch.no_grad():
        assert late(dataset, episode(2)).item() == 2


def test_no_more_is_kept_than_fits(dataset: EncodedDataset) -> None:
    late = LateSimilarity(lambda: Similarities({"counted": Counted()}), dataset, most=8)
    rows = (1, 2, 1, 2, 3, 3, 1)  # two numbers fit
    with torch.no_grad():
        found = [late(dataset, episode(row)).item() for row in rows]
    assert found == [1, 2, 1, 2, 3, 3, 4]

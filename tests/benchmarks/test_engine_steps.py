"""The steps that the engine's benchmark times, on a planted world."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.engine_steps import QUERY, SUPPORT, meta_step, sample_episodes
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted_world(40, 45, 8, np.random.default_rng(0)).dataset


def test_episodes_differ_by_their_ids_alone(dataset: EncodedDataset) -> None:
    small, large = (sample_episodes(dataset, n, "cpu") for n in (5_000, 100_000))
    for a, b in ((small.support, large.support), (small.query, large.query)):
        assert a.mask.all()
        assert torch.equal(a.labels, b.labels)
        assert torch.equal(a.batch.values, b.batch.values)
        pairs = torch.stack([a.batch.ids.flatten(), b.batch.ids.flatten()]).unique(dim=1)
        for ids in pairs:
            assert len(ids.unique()) == pairs.shape[1]  # one to one
        assert torch.equal(a.batch.ids == 0, b.batch.ids == 0)
    assert large.support.batch.ids.max() > 50_000


@pytest.mark.parametrize("asked", [8, 512])
def test_as_many_users_as_asked_for_or_as_there_are(dataset: EncodedDataset, asked: int) -> None:
    enough = int((np.diff(dataset.user_offsets) >= SUPPORT + QUERY).sum())
    assert 8 < enough < 512
    drawn = sample_episodes(dataset, 5_000, "cpu", users=asked)
    assert len(drawn.support.labels) == min(asked, enough)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_step_learns(dataset: EncodedDataset, recorded: bool) -> None:
    step = meta_step(dataset, 5_000, "cpu", tiny=True, users=2, recorded=recorded)
    losses = [step() for _ in range(20)]
    assert losses[-1] < losses[0]  # type: ignore[operator]

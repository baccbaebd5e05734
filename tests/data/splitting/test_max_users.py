"""Some users of *valid* and *test*: the same in both, and training uses all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaselector.config import Config, change_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.protocol import EvaluationProtocol

MOST = 5
PROTOCOLS = ("warm", "cold", "global")


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    found = planted_world(60, 12, 8, np.random.default_rng(0)).dataset
    times = np.random.default_rng(1).integers(0, 1000, len(found)).reshape(120, 12)
    schema = found.schema.model_copy(update={"dates": (400, 600, 800)})
    return replace(found, timestamps=np.sort(times, axis=1).ravel(), schema=schema)


def made(dataset: EncodedDataset, protocol: str, most: int | None) -> EvaluationProtocol:
    changes = {"protocol": protocol, "cold.support_sizes": [2, 5], "evaluate.max_users": most}
    return make_protocol(dataset, change_config(Config(), changes))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_episodes_are_those_of_the_users_drawn(dataset: EncodedDataset, protocol: str) -> None:
    every, some = (made(dataset, protocol, most) for most in (None, MOST))
    pairs = [*zip(every.evaluation_splits, some.evaluation_splits, strict=True)]
    for whole, part in [*pairs, (every.overall, some.overall)]:
        for name in ("valid", "test"):
            of_all, of_some = getattr(whole, name), getattr(part, name)
            users = np.unique(of_some.users)
            assert 0 < len(users) <= MOST < len(np.unique(of_all.users))
            kept = of_all.some(np.flatnonzero(np.isin(of_all.users, users)))
            for rows in ("support", "query"):
                assert np.array_equal(of_some.flat(rows)[0], kept.flat(rows)[0])


@pytest.mark.parametrize("protocol", ["warm", "global"])
def test_users_are_the_same_in_both_windows(dataset: EncodedDataset, protocol: str) -> None:
    """Otherwise combiners of a user had nothing to learn from."""
    some = made(dataset, protocol, MOST).overall
    together = np.union1d(some.valid.users, some.test.users)
    assert len(together) <= MOST


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_training_uses_all_users(dataset: EncodedDataset, protocol: str) -> None:
    every, some = (made(dataset, protocol, most) for most in (None, MOST))
    assert np.array_equal(every.learners, some.learners)
    assert np.array_equal(every.stopping_rows(), some.stopping_rows())
    for window in ("early", "train", "full"):
        assert np.array_equal(every.fitting_rows(window), some.fitting_rows(window))
    episodes = [each.sample(each.learners, np.random.default_rng(0)) for each in (every, some)]
    assert np.array_equal(*(each.flat("query")[0] for each in episodes))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_as_many_as_there_are_are_all(dataset: EncodedDataset, protocol: str) -> None:
    every, some = (made(dataset, protocol, most) for most in (None, 120))
    for whole, part in zip(every.evaluation_splits, some.evaluation_splits, strict=True):
        assert np.array_equal(whole.test.query, part.test.query)

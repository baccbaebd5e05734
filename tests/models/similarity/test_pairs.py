"""Blocks of distinct items, for the pairs of episodes."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import NO_ROW
from metaselector.models.similarity import pairs
from metaselector.models.similarity.pairs import NONE, item_ids, item_of, over_pairs

from .catalogue import UNSEEN, catalogue, of_items


def difference(support: Ints, query: Ints) -> np.ndarray:
    return (100.0 * support[:, None] + query).astype(np.float64)


def keys(generator: np.random.Generator, *shape: int, distinct: int) -> Ints:
    found = generator.integers(distinct, size=shape)
    return np.where(generator.random(shape) < 0.8, found, NONE)


@pytest.mark.parametrize("most", [1, 20, 10**6])
@pytest.mark.parametrize("unit", [0, 1, 1000])
def test_every_pair_once_however_users_are_grouped(
    most: int, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "MOST_PAIRS", most)
    generator = np.random.default_rng(0)
    support, query = keys(generator, 9, 4, distinct=7), keys(generator, 9, 3, distinct=7)
    query[4], support[5] = NONE, NONE  # users without any
    found = over_pairs(support, query, difference, lambda a, b: unit + len(a) * len(b)).numpy()
    assert found.shape == (9, 3, 4)
    assert found.dtype == np.float32
    for u, q, s in np.ndindex(found.shape):
        known = NONE not in (support[u, s], query[u, q])
        assert found[u, q, s] == (100 * support[u, s] + query[u, q] if known else 0)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block is no larger than the limit, however many users there are."""
    monkeypatch.setattr(pairs, "MOST_PAIRS", 400)
    generator = np.random.default_rng(0)
    sizes = []

    def block(support: Ints, query: Ints) -> np.ndarray:
        assert (np.diff(support) > 0).all()
        assert (np.diff(query) > 0).all()
        sizes.append(len(support) * len(query))
        return difference(support, query)

    support, query = keys(generator, 200, 10, distinct=10**6), keys(generator, 200, 6, distinct=50)
    over_pairs(support, query, block, lambda a, b: 1.0)
    assert max(sizes) <= 400
    assert len(sizes) < 200  # still several users at a time
    over_pairs(support[:1], query[:1], block)


def test_users_are_grouped_while_that_is_cheaper() -> None:
    calls = []

    def block(support: Ints, query: Ints) -> np.ndarray:
        calls.append(len(support))
        return difference(support, query)

    alike = np.tile(np.arange(20), (16, 1))
    over_pairs(alike, alike, block)
    assert calls == [20]
    calls.clear()
    apart = np.arange(16 * 200).reshape(16, 200)
    over_pairs(apart, apart, block)
    assert len(calls) > 1
    calls.clear()
    over_pairs(np.full((3, 2), NONE), alike[:3], block)
    assert not calls


def test_items_and_their_ids() -> None:
    dataset = catalogue(of_items(4), [3, UNSEEN, 1, UNSEEN])
    rows = np.array([[3, NO_ROW], [0, 2]])
    items = item_of(dataset, rows)
    assert items.tolist() == [[3, NONE], [0, 2]]
    assert item_ids(dataset, items).tolist() == [[NONE, NONE], [2, 0]]

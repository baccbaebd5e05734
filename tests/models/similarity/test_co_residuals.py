"""Correlations of the residuals of items."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.models.similarity import co_residuals
from metaselector.models.similarity.contract import Similarities, make_similarity

from .catalogue import UNSEEN, all_pairs, catalogue, random_catalogue, random_episodes


def made(dataset: EncodedDataset, rows: Ints, p: np.ndarray, **options: Any) -> Similarities:
    return make_similarity(["co-residuals"], dataset, {}, rows, p, {"co-residuals": options})


def test_by_hand() -> None:
    """Items 0 and 1 have two common users, 0 and 2 one, 1 and 2 none."""
    rows = [(0, 0, 1), (0, 1, 1), (1, 0, 0), (1, 1, 1), (1, 1, 0), (2, 0, 1), (2, 2, 0)]
    dataset = catalogue(rows, [1, 2, 3])
    p = np.array([0.5, 0.25, 0.75, 0.5, 0.25, 0.5, 0.5])
    # Residuals by user: item 0 has 0.5, -0.75, 0.5; item 1 0.75 and the mean of 0.5 and -0.25;
    # item 2 only that of user 2, -0.5.
    similarity = made(dataset, np.arange(7), p, shrink=2.0)
    found = similarity(dataset, all_pairs(7))[0, :, :, 0]
    first, second, third = 0, 1, 6  # rows of the three items
    alike = (0.5 * 0.75 - 0.75 * 0.125) / math.sqrt((0.25 + 0.5625) * (0.5625 + 0.015625))
    assert found[first, second].item() == np.float32(2 / (2 + 2) * alike)
    assert found[first, third].item() == np.float32(1 / (1 + 2) * -1)
    assert found[second, third].item() == 0
    assert found[first, first].item() == np.float32(3 / (3 + 2))
    assert torch.equal(found, found.T)


def by_loop(
    dataset: EncodedDataset, rows: Ints, p: np.ndarray, shrink: float
) -> dict[tuple[int, int], float]:
    """The similarity of every pair of items with a word, by their words."""
    words = dataset.item_cells[:, 0] - dataset.schema.fields[0].first_id
    residuals: dict[int, dict[int, list[float]]] = {}
    for row, predicted in zip(rows.tolist(), p.tolist(), strict=True):
        word, user = int(words[dataset.items[row]]), int(dataset.users[row])
        of_user = residuals.setdefault(word, {}).setdefault(user, [])
        of_user.append(float(dataset.labels[row]) - predicted)
    found = {}
    for a, of_a in residuals.items():
        for b, of_b in residuals.items():
            common = sorted(of_a.keys() & of_b.keys())
            x, y = ([_mean(of[u]) for u in common] for of in (of_a, of_b))
            squares = sum(v * v for v in x) * sum(v * v for v in y)
            if squares and UNSEEN not in (a, b):
                product = sum(v * w for v, w in zip(x, y, strict=True))
                n = len(common)
                found[a, b] = n / (n + shrink) * product / math.sqrt(squares)
    return found


def _mean(of: list[float]) -> float:
    return float(np.float32(sum(of) / len(of)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cached", [0, 3, 100])
def test_equal_to_a_double_loop(seed: int, cached: int) -> None:
    generator = np.random.default_rng(seed)
    dataset = random_catalogue(generator)
    rows = np.flatnonzero(generator.random(len(dataset)) < 0.8)
    p = generator.random(len(rows))
    episodes = random_episodes(dataset, generator, users=6, support=7, query=4)
    shrink = [0.0, 10.0][seed % 2]
    similarity = made(dataset, rows, p, shrink=shrink, cached_items=cached)
    found = similarity(dataset, episodes)[..., 0].numpy()
    slow = by_loop(dataset, rows, p, shrink)
    words = dataset.item_cells[:, 0] - dataset.schema.fields[0].first_id
    expected = np.zeros_like(found)
    for u, q, s in np.ndindex(found.shape):
        pair = episodes.query[u, q], episodes.support[u, s]
        if min(pair) >= 0:
            a, b = words[dataset.items[list(pair)]].tolist()
            expected[u, q, s] = slow.get((a, b), 0)
    assert np.count_nonzero(expected) > 50
    np.testing.assert_array_max_ulp(found, expected, 1)
    assert np.array_equal(found, similarity(dataset, episodes)[..., 0].numpy())  # now all cached


@pytest.mark.parametrize("cached", [0, 1, 4, 7])
@pytest.mark.parametrize("most", [1, 30, 2**21])
def test_what_is_cached_changes_nothing(
    cached: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(co_residuals, "MOST_PAIRS", most)  # rows of the cache at a time
    generator = np.random.default_rng(5)
    dataset = random_catalogue(generator, users=40)
    rows = np.arange(0, len(dataset), 2)
    p = generator.random(len(rows))
    by_all = made(dataset, rows, p)
    by_some = made(dataset, rows, p, cached_items=cached)
    for users in (1, 3, 20):
        episodes = random_episodes(dataset, generator, users, support=9, query=6)
        assert torch.equal(by_some(dataset, episodes), by_all(dataset, episodes))


def test_labels_and_users_outside_the_training_rows_do_not_matter() -> None:
    generator = np.random.default_rng(1)
    dataset = random_catalogue(generator)
    training = np.arange(len(dataset)) % 3 > 0
    rows, p = np.flatnonzero(training), generator.random(training.sum())
    changed = dataset.task_labels.copy()
    changed[~training] = 1 - changed[~training]
    episodes = random_episodes(dataset, generator, users=6, support=7, query=4)
    before = made(dataset, rows, p)(dataset, episodes)
    other = replace(dataset, task_labels=changed)
    assert torch.equal(made(other, rows, p)(other, episodes), before)
    changed[training] = 1 - changed[training]  # guards against a test that sees nothing
    other = replace(dataset, task_labels=changed)
    assert not torch.equal(made(other, rows, p)(other, episodes), before)


def test_rows_encoded_later_find_their_items_by_id() -> None:
    """Other users, and the items in another order and number."""
    generator = np.random.default_rng(2)
    dataset = random_catalogue(generator)
    rows, p = np.arange(len(dataset)), generator.random(len(dataset))
    similarity = made(dataset, rows, p)
    of_words = similarity(dataset, all_pairs(len(dataset)))[0, :, :, 0]
    first = {int(word): row for row, word in enumerate(dataset.item_cells[dataset.items, 0])}
    words = [7, UNSEEN, 2]
    later = catalogue([(0, 2, 1), (0, 0, 1), (1, 1, 0)], words, known=8)
    found = similarity(later, all_pairs(3))[0, :, :, 0]
    at = [first[word + 1] for word in (2, 7)]
    assert torch.equal(found[:2, :2], of_words[at][:, at])
    assert not found[2].any()  # unseen, even with itself


def test_the_first_task_counts() -> None:
    generator = np.random.default_rng(3)
    dataset = random_catalogue(generator)
    rows, p = np.arange(len(dataset)), generator.random(len(dataset))
    second = np.full((len(dataset), 1), np.nan, dtype=np.float32)
    schema = dataset.schema.model_copy(update={"tasks": ("click", "buy")})
    several = replace(
        dataset, schema=schema, task_labels=np.concatenate([dataset.task_labels, second], axis=1)
    )
    episodes = random_episodes(dataset, generator, users=3, support=4, query=5)
    expected = made(dataset, rows, p)(dataset, episodes)
    assert torch.equal(made(several, rows, p)(several, episodes), expected)


def test_edges() -> None:
    one = catalogue([(0, 0, 1), (1, 0, 0)], [1])
    alone = made(one, np.arange(2), np.array([0.5, 0.5]))(one, all_pairs(2, padding=1))
    assert alone[0, :, :, 0].tolist() == [[np.float32(2 / 12)] * 2 + [0]] * 2 + [[0, 0, 0]]
    none = made(one, np.zeros(0, dtype=np.int64), np.zeros(0))(one, all_pairs(2))
    assert not none.any()
    exact = made(one, np.arange(2), np.array([1.0, 0.0]))(one, all_pairs(2))
    assert not exact.any()  # residuals of 0
    unseen = catalogue([(0, 0, 1)], [UNSEEN])
    assert not made(unseen, np.arange(1), np.array([0.5]))(unseen, all_pairs(1)).any()
    with pytest.raises(ConfigError, match="'co-residuals': shrink must be a number of at least 0"):
        made(one, np.arange(2), np.array([0.5, 0.5]), shrink=-1.0)
    with pytest.raises(ConfigError, match="'co-residuals': cached_items must be at least 0"):
        made(one, np.arange(2), np.array([0.5, 0.5]), cached_items=-1)
    with pytest.raises(ValueError, match=r"\(1,\) probabilities for \(2,\) training rows"):
        made(one, np.arange(2), np.array([0.5]))

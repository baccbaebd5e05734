"""Cosines of the words of items."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.similarity.contract import make_similarity

from .catalogue import (
    UNSEEN,
    all_pairs,
    catalogue,
    of_items,
    random_catalogue,
    random_episodes,
)

NO_ROWS, NONE = np.zeros(0, dtype=np.int64), np.zeros(0)


def matrix(dataset: EncodedDataset) -> np.ndarray:
    """Similarities of the items of the first rows, ``[query, support]``."""
    similarity = make_similarity(["features"], dataset, {}, NO_ROWS, NONE)
    assert similarity.names == ("features",)
    return similarity(dataset, all_pairs(len(dataset)))[0, :, :, 0].numpy()


def test_cosines_by_hand() -> None:
    words = [[1, 2], [2, 3, 4], [1, 2], [], [5, 5], [5]]
    found = matrix(catalogue(of_items(6), range(1, 7), [words]))
    expected = np.zeros((6, 6), dtype=np.float32)
    expected[0, 0] = expected[2, 2] = expected[0, 2] = expected[2, 0] = 1
    expected[[0, 1, 2, 1], [1, 0, 1, 2]] = 1 / math.sqrt(2 * 3)
    expected[1, 1] = expected[4, 4] = expected[5, 5] = expected[4, 5] = expected[5, 4] = 1
    assert np.array_equal(found, expected)  # item 3 has no words and is like nothing


def test_fields_count_where_both_items_have_words() -> None:
    genres = [[1], [2], [1]]
    tags = [[1], [1], []]
    found = matrix(catalogue(of_items(3), [1, 2, 3], [genres, tags]))
    assert found.tolist() == [[1, 0.5, 1], [0.5, 1, 0], [1, 0, 1]]


def test_unseen_words_are_not_alike() -> None:
    words = [[UNSEEN], [UNSEEN, 1], [1]]
    found = matrix(catalogue(of_items(3), [1, 2, 3], [words]))
    assert found.tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_no_multivalued_field_no_number() -> None:
    dataset = catalogue(of_items(3), [1, 2, 3])
    similarity = make_similarity(["features"], dataset, {}, NO_ROWS, NONE)
    assert similarity.names == ()
    assert similarity(dataset, all_pairs(3)).shape == (1, 3, 3, 0)


def cosine(a: Counter[str], b: Counter[str]) -> float | None:
    if not a or not b:
        return None
    product = sum(count * b[word] for word, count in a.items())
    lengths = math.prod(sum(count * count for count in bag.values()) for bag in (a, b))
    return product / math.sqrt(lengths)


def bags(dataset: EncodedDataset, row: int) -> list[Counter[str]]:
    """The known words of a row's item in each field, read from the row's slots."""
    ids, _ = dataset.batch(np.array([row]))
    found = []
    for field in dataset.schema.fields:
        if field.kind == "multivalued":
            first = dataset.schema.first_slot(field.name)
            decoded = map(dataset.schema.word, ids[0, first : first + field.slots].tolist())
            found.append(Counter(word for word in decoded if not word.endswith(")")))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_a_loop_over_the_slots(seed: int) -> None:
    generator = np.random.default_rng(seed)
    dataset = random_catalogue(generator)
    episodes = random_episodes(dataset, generator, users=9, support=8, query=5)
    similarity = make_similarity(["features"], dataset, {}, NO_ROWS, NONE)
    found = similarity(dataset, episodes)[..., 0].numpy()
    expected = np.zeros_like(found)
    for u, q, s in np.ndindex(found.shape):
        rows = episodes.query[u, q], episodes.support[u, s]
        if min(rows) >= 0:
            both = zip(*(bags(dataset, int(row)) for row in rows), strict=True)
            cosines = [value for a, b in both if (value := cosine(a, b)) is not None]
            expected[u, q, s] = sum(cosines) / max(len(cosines), 1)
    assert np.count_nonzero(expected) > 30
    np.testing.assert_array_max_ulp(found, expected, 1)

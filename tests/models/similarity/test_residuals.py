"""The two ways to multiply a sparse matrix, and what each costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from metaselector.models.similarity import residuals
from metaselector.models.similarity.residuals import ResidualMatrix, mean_residuals

from .catalogue import UNSEEN, catalogue


def matrix(items: int, users: int, density: float) -> ResidualMatrix:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(items, users)) * (generator.random((items, users)) < density)
    return ResidualMatrix(sparse.csr_array(values), shrink=5.0)


def test_means_of_repeated_rows() -> None:
    rows = [(0, 0, 1), (0, 0, 0), (0, 1, 1), (1, 2, 1), (1, 0, 1), (1, 0, 1)]
    dataset = catalogue(rows, [2, UNSEEN, 1])
    p = np.array([0.5, 0.25, 0.5, 0.75, 0.5])
    found = mean_residuals(dataset, np.array([0, 1, 2, 3, 4]), p, items=2)  # not the last row
    assert found.toarray().T.tolist() == [[0, 0.25], [0.125, 0.5]]
    assert found.nnz == 3


def test_blocks_of_users_and_the_order_of_rows_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    places = [(int(user), int(item), 1) for user, item in generator.integers(0, 7, (300, 2))]
    dataset = catalogue(sorted(places), [*range(1, 8)])
    rows, p = np.flatnonzero(generator.random(300) < 0.7), generator.random(300)
    found = mean_residuals(dataset, rows, p[rows], items=7)
    monkeypatch.setattr(residuals, "_USERS", 3)
    in_blocks = mean_residuals(dataset, rows, p[rows], items=7)
    order = generator.permutation(len(rows))
    shuffled = mean_residuals(dataset, rows[order], p[rows[order]], items=7)
    assert found.shape == (dataset.num_users, 7)
    for other in (in_blocks, shuffled):
        assert other.shape == found.shape
        assert np.allclose(other.toarray(), found.toarray(), rtol=0, atol=1e-15)
        assert other.nnz == found.nnz


def test_rows_without_a_label_do_not_count() -> None:
    """They lack the first of several tasks."""
    dataset = catalogue([(0, 0, 1), (0, 0, 0), (0, 1, 1)], [1, 2])
    labels = dataset.task_labels.copy()
    labels[1:] = np.nan
    found = mean_residuals(
        replace(dataset, task_labels=labels), np.arange(3), np.full(3, 0.25), items=2
    )
    assert found.toarray().tolist() == [[0.75, 0]]
    assert found.nnz == 1


@pytest.mark.parametrize("density", [0.05, 0.5])
def test_both_ways_give_the_same_numbers(density: float) -> None:
    of = matrix(40, 60, density)
    rows, columns = np.array([3, 8, 20]), np.array([0, 8, 21, 39])
    copied = of.among(rows, of.columns(columns))
    assert np.array_equal(of.between(rows, columns), copied)
    assert np.array_equal(of.between(columns, rows), copied.T)
    assert copied.any()


def test_the_cheaper_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """All residuals of the users if there are few, otherwise all of the other items."""
    ways = []
    keep = residuals._kept

    def kept(entries: sparse.csr_array, *rest: Any) -> sparse.csr_array:
        ways.append({40: "of users", 400: "of items"}[entries.shape[1]])
        return keep(entries, *rest)

    monkeypatch.setattr(residuals, "_kept", kept)
    rare = matrix(40, 400, 0.02)
    often = np.sort(np.argsort(-rare.raters)[:30])
    rare.between(np.array([0]), often)
    assert ways == ["of users"]
    common = matrix(40, 400, 0.5)
    common.between(np.arange(2), np.arange(2))
    assert ways == ["of users", "of items"]


def test_items_without_residuals_are_like_nothing() -> None:
    values = np.zeros((3, 4))
    values[1:, 2] = 0.5
    of = ResidualMatrix(sparse.csr_array(values), shrink=0.0)
    assert of.between(np.arange(1), np.arange(3)).tolist() == [[0, 0, 0]]
    assert of.between(np.arange(3), np.arange(1, 2)).tolist() == [[0], [1], [1]]


def test_the_cost_of_nothing_is_nothing() -> None:
    of, none = matrix(5, 6, 0.5), np.zeros(0, dtype=np.int64)
    assert of.cost(none, np.arange(3)) == of.cost(np.arange(3), none) == 0
    assert of.cost(np.arange(1), np.arange(1)) < of.cost(np.arange(4), np.arange(5))
    assert of.between(none, np.arange(3)).shape == (0, 3)

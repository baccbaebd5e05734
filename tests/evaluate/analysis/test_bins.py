"""Quantile bins."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.evaluate.analysis.bins import quantile_bins


def test_equal_mass() -> None:
    values = np.random.default_rng(0).permutation(100)
    bins = quantile_bins(values, 5)
    assert np.array_equal(bins, values // 20)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 3, 3], [0, 0, 0]),
        ([7], [0]),
        ([0, 0, 0, 0, 1], [0, 0, 0, 0, 1]),
        ([0, 1, 1, 1, 1], [0] * 5),
        ([1, 2], [0, 1]),
    ],
)
def test_equal_values_share_a_bin_and_none_is_empty(values: list[int], expected: list[int]) -> None:
    assert quantile_bins(values, 4).tolist() == expected


def test_order_is_kept() -> None:
    values = np.random.default_rng(1).integers(10, size=200)
    bins = quantile_bins(values, 6)
    in_order = np.argsort(values, kind="stable")
    assert (np.diff(bins[in_order]) >= 0).all()
    assert set(bins) == set(range(bins.max() + 1))

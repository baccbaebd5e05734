"""What is counted in train."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.preparation.statistics import Numbers

values = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=1, max_size=40
).map(np.array)


@given(values, st.data())
def test_pieces_give_the_mean_and_deviation_of_the_whole(
    values: np.ndarray, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=3)))
    numbers = Numbers()
    for piece in np.split(values, cuts):
        numbers.add(piece, np.zeros(len(piece), dtype=np.int64))
    present = values[~np.isnan(values)]
    assert numbers.count == len(present)
    if len(present):
        assert numbers.mean == pytest.approx(present.mean(), rel=1e-9, abs=1e-9)
        spread = present.std()
        if spread > 1e-6:
            assert numbers.deviation == pytest.approx(spread, rel=1e-6)


def test_digits_far_from_zero_are_kept() -> None:
    """Unix times, say: a sum of squares in float64 would be off by more than the spread."""
    values = 1e9 + np.arange(1000) / 1000
    numbers = Numbers()
    for piece in np.split(values, 10):
        numbers.add(piece, np.zeros(len(piece), dtype=np.int64))
    assert numbers.deviation == pytest.approx(np.arange(1000).std() / 1000, rel=1e-6)


@pytest.mark.parametrize("values", [[], [np.nan], [3.0, 3.0]])
def test_without_spread_the_deviation_is_one(values: list[float]) -> None:
    numbers = Numbers()
    numbers.add(np.array(values, dtype=np.float64), np.zeros(len(values), dtype=np.int64))
    assert numbers.deviation == 1


def test_edges_are_quantiles_of_the_sampled_rows() -> None:
    numbers = Numbers(stride=2)
    numbers.add(np.arange(8.0), np.arange(8))
    numbers.add(np.array([1000.0, np.nan]), np.array([9, 10]))
    assert numbers.edges(2) == (3.0,)  # of 0, 2, 4, 6
    assert numbers.edges(4) == (1.5, 3.0, 4.5)


def test_buckets_that_would_be_empty_are_left_out() -> None:
    numbers = Numbers()
    numbers.add(np.array([0.0] * 8 + [1.0, 2.0]), np.arange(10))
    assert numbers.edges(10) == pytest.approx((0.2, 1.1))
    assert Numbers().edges(10) == ()

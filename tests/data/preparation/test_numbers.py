"""Statistics of numeric columns in train."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.encoded.schema import Field
from metaselector.data.preparation.numbers import Numbers, number_cells

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


def numbers_of(values: list[float]) -> Numbers:
    """Collected one half after the other."""
    numbers = Numbers()
    for half in np.array_split(np.array(values, dtype=np.float64), 2):
        numbers.add(half, np.arange(len(half)))
    return numbers


@pytest.mark.parametrize("values", [[], [np.nan], [3.0, 3.0]])
def test_without_spread_the_deviation_is_one(values: list[float]) -> None:
    assert numbers_of(values).deviation == 1


@given(st.integers(1, 10**6), st.integers(2, 3000))
def test_equal_prices_have_no_spread(cents: int, n: int) -> None:
    """For two of three prices, rounding makes the mean differ from the equal numbers."""
    price = cents / 100
    numbers = numbers_of([price] * n)
    assert (numbers.constant, numbers.center, numbers.deviation) == (True, price, 1)
    assert numbers.limits == (price, price)
    assert numbers.edges(4) == ()


def test_what_differs_by_rounding_is_constant() -> None:
    assert numbers_of([0.1 + 0.2, 0.3] * 20).constant
    assert numbers_of([-0.3, -0.1 - 0.2]).constant
    assert not numbers_of([0.3, 0.3 + 1e-12]).constant
    assert not numbers_of([0.0, 1e-100]).constant
    ids = numbers_of([1e15 + i for i in range(5)])
    assert ids.deviation == pytest.approx(2**0.5)


@pytest.mark.parametrize(("others", "away"), [(1, 3.16), (5, 7.07), (10, 9.95), (100, 3)])
def test_the_rarer_a_number_the_less_it_counts(others: int, away: float) -> None:
    """By the plain deviation, the first two would be 32 and 14 away."""
    values = [14.62] * (1000 - others) + [14.63] * others
    numbers = numbers_of(values)
    assert (14.63 - numbers.center) / numbers.deviation == pytest.approx(away, rel=0.01)
    if others >= 10:
        assert numbers.deviation == numbers.spread


@given(st.floats(-1e90, 1e90), st.floats(1e-6, 1e90), st.floats(allow_nan=False))
def test_cells_are_within_the_limits(low: float, width: float, later: float) -> None:
    numbers = numbers_of([low] * 999 + [low + width])
    field = Field(
        name="price", kind="numeric", slots=1, first_id=1, vocabulary=("(number)",),
        center=numbers.center, scale=numbers.deviation, low=numbers.limits[0],
        high=numbers.limits[1],
    )  # fmt: skip
    (value,) = number_cells(field, np.array([later])).view(np.float32)
    assert -3.1 <= value <= 3.2 + 3


def test_schemas_of_older_versions_have_no_limits() -> None:
    """Their numbers end 100 deviations from the mean."""
    text = '{"name": "a", "kind": "numeric", "slots": 1, "first_id": 1, "vocabulary": ["(number)"]}'
    values = number_cells(Field.model_validate_json(text), np.array([-1e300, 99.0, 1e300]))
    assert values.view(np.float32).tolist() == [-100, 99, 100]


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_limits_are_saved_to_the_last_digit(low: float, high: float) -> None:
    field = Field(name="a", kind="numeric", slots=1, first_id=1, vocabulary=(), low=low, high=high)
    assert Field.model_validate_json(field.model_dump_json()) == field


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

"""Features of every kind, from raw values to slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from metaselector.data.interactions import Feature, InteractionTable
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.windows import Windows
from tests.data.conftest import table_of

from .conftest import decoded

MakeTable = Callable[..., InteractionTable]
SETTINGS = Settings(Windows(early=25, train=50, valid=75))
ROWS = [("ann", f"i{t % 4 + 1}", 5.0 * (t % 2), 1000 * t) for t in range(8)]
"""Train is rows 0 to 3, where items i1 to i4 occur once each."""


def with_features(
    table: InteractionTable, features: Sequence[Feature], columns: Mapping[str, Any]
) -> InteractionTable:
    """`table`, read at once, with features of its rows."""

    def read() -> Any:
        (block,) = table.read()
        yield block._replace(features={name: pa.array(values) for name, values in columns.items()})

    return replace(table, read=read, features=tuple(features))


@pytest.fixture
def table(make_table: MakeTable) -> InteractionTable:
    return make_table(ROWS, len(ROWS))


def test_rows_fields_come_after_the_history_and_before_time(table: InteractionTable) -> None:
    table = with_features(table, [Feature("device")], {"device": ["a"] * 8})
    names = [field.name for field in encode(table, SETTINGS).schema.fields]
    assert names[-4:] == ["history_genres", "device", "day_of_week", "season"]


def test_categorical(table: InteractionTable) -> None:
    """Of train are a, b, a and a missing value; only a is there twice."""
    words = ["a", "b", "a", None, "a", "c", "", "b"]
    table = with_features(
        table, [Feature("device"), Feature("rare", min_count=2)], {"device": words, "rare": words}
    )
    dataset = encode(table, SETTINGS)
    device, rare = (
        [word for ((word, value),) in decoded(dataset, name) if value == 1]
        for name in ("device", "rare")
    )
    unseen = "(unseen)"
    assert device == ["a", "b", "a", unseen, "a", unseen, unseen, "b"]
    assert rare == ["a", unseen, "a", unseen, "a", unseen, unseen, unseen]


def test_min_count_of_the_settings_holds_for_every_field(table: InteractionTable) -> None:
    """No item is in train twice, but genres are: Drama of i1 and i4, Comedy of i2 and i4."""
    dataset = encode(table, replace(SETTINGS, min_count=2))
    words = {field.name: field.vocabulary for field in dataset.schema.fields}
    assert words["item"] == words["release_year"] == ()
    assert words["genres"] == ("Comedy", "Drama", "War")
    assert words["user"] == ("ann",)
    assert dataset.schema.min_count == 2
    assert encode(table, replace(SETTINGS, min_count=3)).schema.fields[5].vocabulary == ()


def test_multivalued(table: InteractionTable) -> None:
    """In train no row has more than two tags, so that the sixth row keeps its first two."""
    tags = ["x", "y|x", "", None, "z|x", "x|y|x", "|y|", "q"]
    table = with_features(table, [Feature("tags", "multivalued")], {"tags": tags})
    half = 0.5
    assert decoded(encode(table, SETTINGS), "tags") == [
        [("x", 1.0)],
        [("y", half), ("x", half)],
        [],
        [],
        [("(unseen)", half), ("x", half)],
        [("x", half), ("y", half)],
        [("y", 1.0)],
        [("(unseen)", 1.0)],
    ]


def test_numeric_is_standardised_on_train(table: InteractionTable) -> None:
    prices = [1.0, 3.0, np.nan, 5.0, 9.0, np.nan, 3.0, -1.0]
    dataset = encode(
        with_features(table, [Feature("price", "numeric")], {"price": prices}), SETTINGS
    )
    deviation = np.std([1, 3, 5])
    expected = [
        ("(unseen)", 1.0) if np.isnan(p) else ("(number)", pytest.approx((p - 3) / deviation))
        for p in prices
    ]
    assert [row[0] for row in decoded(dataset, "price")] == expected


def test_numeric_in_buckets(table: InteractionTable) -> None:
    """The median of 1, 3, 5 and 7 cuts train in two."""
    prices = [1.0, 3.0, 5.0, 7.0, 100.0, np.nan, 4.0, 3.99]
    table = with_features(table, [Feature("price", "numeric", buckets=2)], {"price": prices})
    found = [word for ((word, value),) in decoded(encode(table, SETTINGS), "price") if value == 1]
    low, high = "below 4", "from 4"
    assert found == [low, low, high, high, high, "(unseen)", high, low]


def test_a_constant_or_absent_number_does_no_harm(table: InteractionTable) -> None:
    features = [Feature(name, "numeric", buckets=b) for name, b in (("a", None), ("b", 3))]
    features += [Feature(name, "numeric", buckets=b) for name, b in (("c", None), ("d", 3))]
    constant, absent = [2.0] * 8, [np.nan] * 8
    columns = {"a": constant, "b": constant, "c": absent, "d": absent}
    dataset = encode(with_features(table, features, columns), SETTINGS)
    assert decoded(dataset, "a") == [[("(number)", 0.0)]] * 8
    assert decoded(dataset, "b") == [[("any", 1.0)]] * 8
    assert decoded(dataset, "c") == decoded(dataset, "d") == [[("(unseen)", 1.0)]] * 8


def test_buckets_of_large_numbers_have_names_of_their_own(table: InteractionTable) -> None:
    prices = 1e9 + np.array([1.0, 3.0, 5.0, 7.0, 1.0, 3.0, 5.0, 7.0])
    table = with_features(table, [Feature("price", "numeric", buckets=3)], {"price": prices})
    field = next(field for field in encode(table, SETTINGS).schema.fields if field.name == "price")
    assert field.vocabulary == (
        "below 1000000003",
        "1000000003 to below 1000000005",
        "from 1000000005",
    )


def test_numbers_far_outside_of_the_range_of_train_are_set_to_its_edge(
    table: InteractionTable,
) -> None:
    prices = [1.0, 1.0, 1.0, 5.0, 1e300, -1e300, 6.0, 1.0]
    table = with_features(table, [Feature("price", "numeric")], {"price": prices})
    deviation = np.sqrt(3)
    found = [row[0][1] * deviation + 2 for row in decoded(encode(table, SETTINGS), "price")]
    margin = 3 * deviation
    assert found == pytest.approx([1, 1, 1, 5, 5 + margin, 1 - margin, 6, 1])
    assert table.repairs == [
        "tiny.csv: feature 'price' of rows leaves its range in train (1 to 5) in 3 of 4 later "
        "values, 2 of them by more than 3 standard deviations, which are clipped there; correct "
        "them, use a feature that does not drift, or use buckets"
    ]


@pytest.mark.parametrize("number", [14.62, 14.5, -1e15, 1e-9])
def test_a_constant_number_stays_constant(table: InteractionTable, number: float) -> None:
    """Squared deviations of equal numbers are rounding errors, which for 14.62 are not 0."""
    later = [number * 1.001] * 3 + [np.nan]
    columns = {"price": [number] * 4 + later, "cut": [number] * 4 + later}
    features = [Feature("price", "numeric"), Feature("cut", "numeric", buckets=3)]
    table = with_features(table, features, columns)
    dataset = encode(table, SETTINGS)
    assert decoded(dataset, "price") == [[("(number)", 0.0)]] * 7 + [[("(unseen)", 1.0)]]
    assert decoded(dataset, "cut") == [[("any", 1.0)]] * 7 + [[("(unseen)", 1.0)]]
    said = f"is constant in train ({number:.15g}); drop the feature; 3 of 3 later values differ "
    said += "and are set to it"
    assert table.repairs == [f"tiny.csv: feature '{f}' of rows {said}" for f in columns]


def test_numbers_that_train_has_none_of_count_as_missing(table: InteractionTable) -> None:
    prices = [np.nan] * 4 + [1.0, 2.0, np.nan, 3.0]
    features = [Feature("price", "numeric"), Feature("cut", "numeric", buckets=3)]
    table = with_features(table, features, {"price": prices, "cut": prices})
    dataset = encode(table, SETTINGS)
    assert decoded(dataset, "price") == decoded(dataset, "cut") == [[("(unseen)", 1.0)]] * 8
    said = "has no values in train: all 3 later values are treated as missing"
    assert table.repairs == [f"tiny.csv: feature '{f}' of rows {said}" for f in ("price", "cut")]


def test_numbers_of_items(table: InteractionTable) -> None:
    """Every item of train counts once; i4 has none."""
    items = pd.DataFrame({"price": [1.0, 3.0, 5.0]}, index=["i1", "i2", "i3"])
    table = replace(
        table,
        describe_items=lambda _: items,
        item_features=(Feature("price", "numeric"),),
    )
    found = [row[0] for row in decoded(encode(table, SETTINGS), "price")]
    far = np.sqrt(1.5)  # 2 from the mean of 3, in deviations of 1, 3 and 5
    expected = [("(number)", pytest.approx(z)) for z in (-far, 0, far)]
    assert found == [*expected, ("(unseen)", 1.0)] * 2


def test_items_that_come_after_train_may_leave_its_range(table: InteractionTable) -> None:
    """Each item counts once, not each of its rows; i5 is only in the last row."""
    rows = [(*row[:1], "i5" if t == 7 else row[1], *row[2:]) for t, row in enumerate(ROWS)]
    items = pd.DataFrame({"a": [2.0] * 4 + [3.0], "b": [1.0, 3.0, 5.0, 3.0, 99.0]}, [*"12345"])
    table = replace(
        table_of(rows),
        describe_items=lambda _: items.set_axis([f"i{name}" for name in items.index]),
        item_features=(Feature("a", "numeric"), Feature("b", "numeric")),
    )
    dataset = encode(table, SETTINGS)
    assert [row[0][1] for row in decoded(dataset, "a")] == [0] * 8
    assert decoded(dataset, "b")[-1][0][1] == pytest.approx(2 / np.sqrt(2) + 3)
    assert [repair.partition(" of items ")[2][:60] for repair in table.repairs] == [
        "is constant in train (2); drop the feature; 1 of 1 later val",
        "leaves its range in train (1 to 5) in 1 of 1 later values, 1",
    ]


def test_a_schema_of_other_settings_is_refused(table: InteractionTable) -> None:
    schema = encode(table, SETTINGS).schema
    with pytest.raises(ValueError, match=r"the schema was made with label_threshold=4\.0, not 3"):
        encode(table, replace(SETTINGS, label_threshold=3), schema)


def test_a_schema_brings_its_numbers(table: InteractionTable) -> None:
    features = [Feature("price", "numeric"), Feature("cost", "numeric", buckets=2)]
    columns = {"price": np.arange(8.0), "cost": np.arange(8.0)}
    first = encode(with_features(table, features, columns), SETTINGS)
    other = {name: values + 3 for name, values in columns.items()}
    again = encode(with_features(table, features, other), SETTINGS, first.schema)
    assert again.schema == first.schema
    for name in columns:
        assert decoded(again, name)[:4] == decoded(first, name)[3:7]

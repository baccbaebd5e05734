"""Rows split at dates: what is fitted comes from before, and data without times is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Feature, Interactions, InteractionTable, Negatives
from metaselector.data.microseconds import SECOND
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.dates import Dates
from metaselector.data.splitting.windows import Windows

from .conftest import DAY, ROWS, THURSDAY, MakeTable, assert_same, features, field

WINDOWS = Windows(early=20, train=50, valid=70)
SETTINGS = Settings(WINDOWS, by_date=True, history_length=3)
GIVEN = Dates(*(SECOND * (THURSDAY + day * DAY) for day in (1, 2, 150)))


@st.composite
def random_rows(draw: st.DrawFn) -> list[tuple[str, str, float, int]]:
    """Up to four users with a row at each of ten times, and more with ties; shuffled."""
    user, item = st.sampled_from("abcd"), st.sampled_from(["i1", "i2", "i3", "i4"])
    later = draw(st.lists(st.integers(0, 9), max_size=10))
    rows = {
        (draw(user), draw(item), t): draw(st.sampled_from([2.0, 5.0])) for t in [*range(10), *later]
    }
    return draw(st.permutations([(u, i, r, THURSDAY + t * DAY) for (u, i, t), r in rows.items()]))


def day(dataset: EncodedDataset, date: int) -> int:
    assert dataset.schema.dates is not None
    return (dataset.schema.dates[date] // SECOND - THURSDAY) // DAY


def test_the_schema_tells_the_dates(make_table: MakeTable) -> None:
    """The days of the ten rows are 0, 0, 1, 1, 1, 2, 90, 200, 300, 300."""
    dataset = encode(make_table(ROWS), SETTINGS)
    assert dataset.schema.protocol == "global"
    assert [day(dataset, place) for place in range(3)] == [1, 2, 200]
    assert dataset.schema.dates_given is None
    given = encode(make_table(ROWS), replace(SETTINGS, dates=GIVEN))
    assert given.schema.dates == GIVEN
    assert given.schema.dates_given


def test_histories_of_known_users_end_where_the_test_starts(make_table: MakeTable) -> None:
    """Those of users who appear later do not, as their support moves on."""
    rows = [*ROWS, *(("eve", f"i{n}", 5.0, THURSDAY + (200 + n) * DAY) for n in (1, 2, 3))]
    dataset = encode(make_table(rows), replace(SETTINGS, dates=GIVEN))
    shown = np.array([len(row) for row in field(dataset, "history_items")])
    names = np.array(dataset.user_names)[dataset.users]
    found = {str(name): shown[names == name].tolist() for name in dataset.user_names}
    assert found == {"ann": [0, 1, 2, 3, 3], "bob": [0, 0, 0, 2, 2], "eve": [0, 1, 2]}


@settings(max_examples=40)
@given(rows=random_rows(), data=st.data())
def test_what_comes_after_train_changes_no_vocabulary_and_no_earlier_row(
    make_table: MakeTable, rows: Any, data: st.DataObject
) -> None:
    """Users, items and labels are new; days stay, as percentages of all rows decide the dates."""
    try:
        full = encode(make_table(rows), SETTINGS)
    except DataError:  # two dates are one
        reject()
    assert full.schema.dates is not None
    date = full.schema.dates[1]
    user, rating = st.sampled_from("abcde"), st.sampled_from([2.0, 5.0])
    changed = list(rows)
    for place, (*_, time) in enumerate(rows):
        if time * SECOND >= date:
            changed[place] = (data.draw(user), f"new{place}", data.draw(rating), time)
    other = encode(make_table(changed), SETTINGS)
    assert other.schema == full.schema
    assert_same(*(features(found, rows_before(found, date)) for found in (other, full)))


def rows_before(dataset: EncodedDataset, date: int) -> np.ndarray:
    """In the order of the file."""
    early = np.flatnonzero(dataset.timestamps < date)
    return early[np.argsort(dataset.source_rows[early])]


def test_the_number_of_later_rows_changes_no_quantile(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more rows than the sample holds, every second, third, ... is sampled."""
    monkeypatch.setattr("metaselector.data.preparation.statistics.QUANTILE_SAMPLE", 15)
    rows = [(f"u{n % 7}", "i1", 5.0, THURSDAY + n * DAY) for n in range(80)]
    dates = Dates(*(SECOND * (THURSDAY + day * DAY) for day in (20, 40, 50)))
    schemas = [
        encode(priced(make_table(rows[:many])), replace(SETTINGS, dates=dates)).schema
        for many in (60, 75)
    ]
    assert schemas[0] == schemas[1]
    (price,) = schemas[0].fields_of("row")[:1]
    assert price.edges


def priced(table: InteractionTable) -> InteractionTable:
    """With a number per row, in three buckets."""

    def read() -> Iterator[Interactions]:
        for block in table.read():
            prices = pa.array(block.lines.astype(np.float64) ** 1.5)
            yield block._replace(features={"price": prices})

    return replace(table, read=read, features=(Feature("price", "numeric", buckets=3),))


@pytest.mark.parametrize("drop", [False, True])
def test_users_with_a_single_row_stay(make_table: MakeTable, drop: bool) -> None:
    """Whether a user has a later row must not decide whether the earlier one is used."""
    chosen = replace(SETTINGS, dates=GIVEN, drop_short_users=drop)
    dataset = encode(make_table([*ROWS, ("eve", "i1", 4.0, THURSDAY)]), chosen)
    assert dataset.user_names == ("ann", "bob", "eve")
    assert len(dataset) == len(ROWS) + 1


def test_what_has_no_times_is_refused_in_one_line(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    ranks = make_table([(user, item, rating, n) for n, (user, item, rating, _) in enumerate(ROWS)])
    for refused, problem in (
        (replace(table, tabular=True), "this data has no times; use protocol=warm or cold"),
        (replace(table, negatives=Negatives(1)), "sampled negatives are drawn from the items"),
        (ranks, r"all times are before 1980 \(the latest is 1970-01-01T00:00:09Z\), so they look"),
    ):
        with pytest.raises(DataError, match=problem) as caught:
            encode(refused, SETTINGS)
        assert "protocol=global splits everybody's rows at a date" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("days", "window"),
    [
        ((0, 1, 2), "early"),
        ((1, 1, 90), "early to train"),
        ((1, 3, 90), "valid"),
        ((1, 2, 400), "test"),
    ],
)
def test_an_empty_window_is_named(
    make_table: MakeTable, days: tuple[int, ...], window: str
) -> None:
    dates = Dates(*(SECOND * (THURSDAY + day * DAY) for day in days))
    with pytest.raises(DataError, match=rf"the window {window} \(.*\) has no rows"):
        encode(make_table(ROWS), replace(SETTINGS, dates=dates))


def test_a_schema_of_other_dates_is_not_reused(make_table: MakeTable) -> None:
    schema = encode(make_table(ROWS), replace(SETTINGS, dates=GIVEN)).schema
    later = Dates(GIVEN.early, GIVEN.train, GIVEN.valid + 1)
    with pytest.raises(ValueError, match="the schema was made with dates="):
        encode(make_table(ROWS), replace(SETTINGS, dates=later), schema)
    with pytest.raises(ValueError, match="the schema was made with by_date=True, not False"):
        encode(make_table(ROWS), Settings(WINDOWS, history_length=3), schema)
    again = encode(make_table(ROWS[:9]), replace(SETTINGS, dates=GIVEN), schema)
    assert again.schema == schema

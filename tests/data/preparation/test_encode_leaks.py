"""No feature depends on rows at the same time or later."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.windows import Windows, boundaries, window_rows

from .conftest import WINDOWS, MakeTable, assert_same, features

FIRST_FREE_TIME = 4


@st.composite
def random_rows(draw: st.DrawFn) -> list[tuple[str, str, float, int]]:
    """Two users, a row at each of the times 0 to 3 and up to six, with ties, later; shuffled."""
    item = st.sampled_from(["i1", "i2", "i3", "i4"])
    rating = st.sampled_from([2.0, 5.0])
    rows = []
    for user in ("ann", "bob"):
        later = draw(st.lists(st.integers(FIRST_FREE_TIME, 8), max_size=6))
        rows += [(user, draw(item), draw(rating), t) for t in [*range(FIRST_FREE_TIME), *later]]
    return draw(st.permutations(rows))


def encode_until(
    make_table: MakeTable, full: EncodedDataset, rows: Any, windows: Windows, last: int
) -> tuple[EncodedDataset, np.ndarray]:
    """Encode the rows up to a time; also their positions in `full`."""
    kept = [i for i, row in enumerate(rows) if row[3] <= last]
    part = encode(make_table([rows[i] for i in kept]), Settings(windows), schema=full.schema)
    position = {int(source): i for i, source in enumerate(full.source_rows)}
    return part, np.array([position[kept[source]] for source in part.source_rows])


@settings(max_examples=40)
@given(rows=random_rows(), last=st.integers(FIRST_FREE_TIME - 1, 8))
def test_deleting_what_comes_after_a_time_changes_no_earlier_row(
    make_table: MakeTable, rows: Any, last: int
) -> None:
    """Here only the last row of a user is in test, so no history is cut short by freezing."""
    windows = Windows(early=25, train=50, valid=99)
    full = encode(make_table(rows), Settings(windows))
    part, position = encode_until(make_table, full, rows, windows, last)
    assert_same(features(part), features(full, position))


@settings(max_examples=40)
@given(rows=random_rows(), last=st.integers(FIRST_FREE_TIME - 1, 8))
def test_deleting_what_comes_after_a_time_changes_no_earlier_row_up_to_test(
    make_table: MakeTable, rows: Any, last: int
) -> None:
    """With a long test window.

    Histories of test rows stop where the window starts, and it starts at a rank that depends on how
    many rows the user has: with fewer rows it starts earlier. So the promise holds for the rows up
    to the first test row of the shorter table; later ones are test rows there, with less history.
    """
    windows = Windows(early=20, train=40, valid=60)
    full = encode(make_table(rows), Settings(windows))
    part, position = encode_until(make_table, full, rows, windows, last)
    first_test = boundaries(part.user_offsets, windows.valid)[part.users]
    unaffected = np.arange(len(part)) <= first_test
    assert_same(features(part, unaffected), features(full, position[unaffected]))


@settings(max_examples=40)
@given(rows=random_rows(), time=st.integers(0, 8), data=st.data())
def test_ratings_of_the_same_time_or_later_change_no_feature(
    make_table: MakeTable, rows: Any, time: int, data: st.DataObject
) -> None:
    full = encode(make_table(rows), Settings(WINDOWS))
    later = [i for i, row in enumerate(rows) if row[3] >= time]
    changed = with_ratings(rows, later, data)
    other = encode(make_table(changed), Settings(WINDOWS), schema=full.schema)
    until = full.timestamps <= time
    assert_same(features(other, until), features(full, until))


@settings(max_examples=40)
@given(rows=random_rows(), data=st.data())
def test_ratings_of_the_test_window_change_no_feature_and_no_vocabulary(
    make_table: MakeTable, rows: Any, data: st.DataObject
) -> None:
    windows = Windows(early=20, train=40, valid=60)
    full = encode(make_table(rows), Settings(windows))
    test = full.source_rows[window_rows(full.user_offsets, windows.valid, 100)]
    other = encode(make_table(with_ratings(rows, test.tolist(), data)), Settings(windows))
    assert other.schema == full.schema
    assert_same(features(other), features(full))


@settings(max_examples=20)
@given(rows=random_rows(), data=st.data())
def test_vocabularies_come_from_train_rows_only(
    make_table: MakeTable, rows: Any, data: st.DataObject
) -> None:
    """Whatever is in valid and test, items included."""
    # Repeats would be dropped, and the windows move with how many there are.
    rows = list(
        {
            (user, item, time): (user, item, rating, time) for user, item, rating, time in rows
        }.values()
    )
    windows = Windows(early=20, train=40, valid=60)
    full = encode(make_table(rows), Settings(windows))
    rest = full.source_rows[window_rows(full.user_offsets, windows.train, 100)]
    changed = list(rows)
    for i in rest:
        user, _, _, time = rows[i]
        item = data.draw(st.sampled_from([rows[i][1], f"new{i}"]))
        changed[i] = (user, item, data.draw(st.sampled_from([2.0, 5.0])), time)
    assert encode(make_table(changed), Settings(windows)).schema == full.schema


def with_ratings(rows: Any, which: list[int], data: st.DataObject) -> list[Any]:
    """Draw new ratings for the given rows: more than a shuffle of the old ones."""
    changed = list(rows)
    for i in which:
        user, item, _, time = rows[i]
        changed[i] = (user, item, data.draw(st.sampled_from([2.0, 5.0])), time)
    return changed

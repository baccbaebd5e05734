"""Every field by hand, and no leak from the future."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.data.dataset import EncodedDataset
from metaselector.data.interactions import Feature, InteractionTable, nothing_known
from metaselector.data.preparation import fields as fields_module
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.schema import Schema
from metaselector.data.split import Windows, boundaries, window_rows
from metaselector.errors import DataError

MakeTable = Callable[[Sequence[tuple[str, str, float, int]]], InteractionTable]
DAY = 86_400
THURSDAY = 881_193_600  # 4 December 1997, 00:00 UTC
WINDOWS = Windows(early=20, train=60, valid=80)  # of 5 rows: 1, 3, 4
SETTINGS = Settings(WINDOWS, history_length=2)

# In the order of the file; ann's rows by time are lines 2, 5, 1, 7, 9 and bob's 3, 4, 6, 8, 10.
ROWS = [
    ("ann", "i2", 4.0, THURSDAY + 2 * DAY),
    ("ann", "i1", 5.0, THURSDAY),
    ("bob", "i2", 1.0, THURSDAY),
    ("bob", "i1", 4.0, THURSDAY + 1 * DAY),
    ("ann", "i3", 4.0, THURSDAY + 1 * DAY),
    ("bob", "i2", 5.0, THURSDAY + 1 * DAY),
    ("ann", "i4", 3.5, THURSDAY + 90 * DAY),
    ("bob", "i4", 5.0, THURSDAY + 200 * DAY),
    ("ann", "i1", 2.0, THURSDAY + 300 * DAY),
    ("bob", "i1", 5.0, THURSDAY + 300 * DAY),
]


@pytest.fixture
def dataset(make_table: MakeTable) -> EncodedDataset:
    return encode(make_table(ROWS), SETTINGS)


def field(dataset: EncodedDataset, name: str) -> list[Any]:
    """The field as words and values, one list of (word, value) a row, padding left out."""
    width = next(f.slots for f in dataset.schema.fields if f.name == name)
    first = dataset.schema.first_slot(name)
    rows = []
    for ids, values in zip(*features(dataset), strict=True):
        cells = zip(ids[first : first + width], values[first : first + width], strict=True)
        rows.append(
            [
                (dataset.schema.word(int(i)).removeprefix(f"{name}="), pytest.approx(float(v)))
                for i, v in cells
                if i
            ]
        )
    return rows


def words(dataset: EncodedDataset, name: str) -> list[str]:
    """A categorical field as words."""
    cells = field(dataset, name)
    assert all(value == 1 for ((_, value),) in cells)
    return [word for ((word, _),) in cells]


def vocabulary(schema: Schema, name: str) -> tuple[str, ...]:
    return next(f.vocabulary for f in schema.fields if f.name == name)


def test_rows_are_sorted_by_user_and_time(dataset: EncodedDataset) -> None:
    assert (dataset.source_rows + 1).tolist() == [2, 5, 1, 7, 9, 3, 4, 6, 8, 10]
    assert dataset.user_offsets.tolist() == [0, 5, 10]
    assert dataset.user_names == ("ann", "bob")
    assert dataset.users.tolist() == [0] * 5 + [1] * 5
    assert dataset.timestamps.tolist() == [ROWS[i][3] for i in dataset.source_rows]


def test_labels_are_ratings_at_or_above_the_threshold(dataset: EncodedDataset) -> None:
    assert dataset.labels.tolist() == [1, 1, 1, 0, 0, 0, 1, 1, 1, 1]


def test_fields_stand_in_their_documented_order(dataset: EncodedDataset) -> None:
    assert [f.name for f in dataset.schema.fields] == (
        [
            "user",
            "age",
            "gender",
            "occupation",
            "item",
            "genres",
            "release_year",
            "history_items",
            "history_genres",
            "day_of_week",
            "season",
        ]
    )


def test_id_ranges_of_fields_follow_each_other(dataset: EncodedDataset) -> None:
    expected = 1
    for f in dataset.schema.fields:
        assert f.first_id == expected
        expected += f.num_ids
    assert dataset.schema.num_ids == expected
    ids, values = features(dataset)
    assert ids.shape == values.shape == (10, dataset.schema.num_slots)
    assert ids.max() < dataset.schema.num_ids


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("user", ["ann"] * 5 + ["bob"] * 5),
        ("age", ["24"] * 5 + ["(unseen)"] * 5),
        ("gender", ["F"] * 5 + ["M"] * 5),
        ("occupation", ["artist"] * 5 + ["writer"] * 5),
        # i4 occurs in valid only
        ("item", ["i1", "i3", "i2", "(unseen)", "i1", "i2", "i1", "i2", "(unseen)", "i1"]),
        (
            "release_year",
            [
                "1995",
                "(unseen)",
                "1996",
                "(unseen)",
                "1995",
                "1996",
                "1995",
                "1996",
                "(unseen)",
                "1995",
            ],
        ),
        (
            "day_of_week",
            # 90, 200 and 300 days later: Wednesday, Monday and Wednesday, not seen in train
            [
                "Thursday",
                "Friday",
                "Saturday",
                "(unseen)",
                "(unseen)",
                "Thursday",
                "Friday",
                "Friday",
                "(unseen)",
                "(unseen)",
            ],
        ),
        ("season", ["winter"] * 3 + ["(unseen)"] * 2 + ["winter"] * 3 + ["(unseen)"] * 2),
    ],
)
def test_categorical_field(dataset: EncodedDataset, name: str, expected: list[str]) -> None:
    assert words(dataset, name) == expected


def test_genres_share_a_weight_of_one(dataset: EncodedDataset) -> None:
    """The items of train have at most two genres, so i4 keeps the first two of its three."""
    i1 = [("Drama", 0.5), ("War", 0.5)]
    i2 = [("Comedy", 1.0)]
    i4 = [("Drama", 0.5), ("Comedy", 0.5)]
    assert field(dataset, "genres") == [i1, [], i2, i4, i1, i2, i1, i2, i4, i1]


def test_history_items_are_the_last_two_liked_newest_first(dataset: EncodedDataset) -> None:
    """bob's i1 and i2 share a time, and neither sees the other; from rank 4 on, test is frozen."""
    half = 0.5
    assert field(dataset, "history_items") == [
        [],
        [("i1", 1.0)],
        [("i3", half), ("i1", half)],
        [("(unseen)", half), ("i3", half)],  # i2 is in no history of a train row
        [("(unseen)", half), ("i3", half)],
        [],
        [],
        [],
        [("(unseen)", half), ("i1", half)],
        [("(unseen)", half), ("(unseen)", half)],
    ]


def test_history_genres_are_the_mean_profile_of_all_liked(dataset: EncodedDataset) -> None:
    third = 1 / 3
    assert field(dataset, "history_genres") == [
        [],
        [("Drama", 0.5), ("War", 0.5)],
        [("Drama", 0.25), ("War", 0.25)],  # i3 has no genre
        [("Comedy", third), ("Drama", third / 2), ("War", third / 2)],
        [("Comedy", third), ("Drama", third / 2), ("War", third / 2)],
        [],
        [],
        [],
        [("Comedy", 0.5), ("Drama", 0.25), ("War", 0.25)],
        [
            ("Comedy", (1 + third) / 3),
            ("Drama", (half := 0.5) / 3 + third / 3),
            ("War", half / 3 + third / 3),
        ],
    ]


def with_items(table: InteractionTable, **categories: tuple[str, ...]) -> InteractionTable:
    """`table` of a shop that knows nothing of its users, and of items their categories."""
    items = pd.DataFrame({"categories": pd.Series(categories, dtype=object)})
    return replace(
        table,
        users=nothing_known("user"),
        describe_items=lambda _: items,
        user_features=(),
        item_features=(Feature("categories", "multivalued", profile=True),),
    )


def test_fields_exist_where_the_data_has_them(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    bare = replace(
        table,
        users=nothing_known("user"),
        describe_items=lambda _: nothing_known("item"),
        user_features=(),
        item_features=(),
    )
    names = [f.name for f in encode(bare, Settings(WINDOWS)).schema.fields]
    assert names == ["user", "item", "history_items", "day_of_week", "season"]
    shop = encode(with_items(table, i1=("Shop",)), Settings(WINDOWS))
    assert [f.name for f in shop.schema.fields] == [
        "user",
        "item",
        "categories",
        "history_items",
        "history_categories",
        "day_of_week",
        "season",
    ]


def test_categories_are_encoded_as_genres_are(make_table: MakeTable) -> None:
    table = make_table(ROWS)
    names = {name: table.items.loc[name, "genres"] for name in ("i1", "i2", "i4")}  # i3 has none
    films, shop = (
        encode(table, Settings(WINDOWS)),
        encode(with_items(table, **names), Settings(WINDOWS)),
    )
    for theirs, ours in (("genres", "categories"), ("history_genres", "history_categories")):
        assert vocabulary(shop.schema, ours) == vocabulary(films.schema, theirs)
        assert field(shop, ours) == field(films, theirs)


def test_a_profile_keeps_the_words_most_frequent_in_train(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """i1 is in train twice, i2 three times and i3 once; c and d come with i2."""
    monkeypatch.setattr(fields_module, "PROFILE_WORDS", 2)
    table = with_items(make_table(ROWS), i1=("a", "b"), i2=("c", "d"), i3=("e",))
    dataset = encode(table, Settings(WINDOWS))
    assert vocabulary(dataset.schema, "categories") == ("a", "b", "c", "d", "e")
    assert vocabulary(dataset.schema, "history_categories") == ("c", "d")
    # ann's fourth row: i1, i3 and i2 were liked, and i2 spreads its third over c and d.
    sixth = 1 / 6
    assert field(dataset, "history_categories")[3] == [("c", sixth), ("d", sixth)]
    assert encode(table, Settings(WINDOWS), schema=dataset.schema).schema == dataset.schema


def test_padding_slots_have_id_and_value_zero(dataset: EncodedDataset) -> None:
    ids, values = features(dataset)
    assert not values[ids == 0].any()
    assert (ids == 0).any()


def test_vocabulary_is_what_occurs_in_train(dataset: EncodedDataset) -> None:
    assert vocabulary(dataset.schema, "item") == ("i1", "i2", "i3")
    assert vocabulary(dataset.schema, "history_items") == ("i1", "i3")
    assert vocabulary(dataset.schema, "genres") == ("Comedy", "Drama", "War")
    assert vocabulary(dataset.schema, "age") == ("24",)
    assert vocabulary(dataset.schema, "season") == ("winter",)


def test_vocabulary_sorts_numbers_as_numbers(make_table: MakeTable) -> None:
    rows = [(user, item, 4.0, t) for user in ("2", "10") for t, item in enumerate(["i1"] * 5)]
    assert vocabulary(encode(make_table(rows), Settings(WINDOWS)).schema, "user") == ("2", "10")


def test_schema_records_how_it_was_made(dataset: EncodedDataset) -> None:
    schema = dataset.schema
    assert (schema.dataset, schema.label_threshold, schema.history_length) == ("tiny", 4.0, 2)
    assert schema.windows == tuple(WINDOWS)


def test_encoding_with_a_schema_uses_its_vocabularies(
    make_table: MakeTable, dataset: EncodedDataset
) -> None:
    """bob alone, in ids of the world with both."""
    bob = make_table([row for row in ROWS if row[0] == "bob"])
    again = encode(bob, SETTINGS, schema=dataset.schema)
    assert again.schema == dataset.schema
    assert_same(features(again), features(dataset, slice(5, None)))


def test_unknown_user_and_item_are_unseen_words(
    make_table: MakeTable, dataset: EncodedDataset
) -> None:
    strangers = make_table([("eve", "i9", 4.0, t) for t in range(5)])
    again = encode(strangers, SETTINGS, schema=dataset.schema)
    for name in ("user", "age", "item", "release_year"):
        assert words(again, name) == ["(unseen)"] * 5


def test_single_row_user_is_named_with_file_and_line(make_table: MakeTable) -> None:
    with pytest.raises(DataError, match=r"tiny\.csv:11 \(column user\): user 'eve' has a single"):
        encode(make_table([*ROWS, ("eve", "i1", 4.0, 0)]), Settings(WINDOWS))


def test_no_interactions(make_table: MakeTable) -> None:
    with pytest.raises(DataError, match=r"tiny\.csv: the file holds no interactions"):
        encode(make_table([]), Settings(WINDOWS))


@pytest.mark.parametrize(
    ("windows", "name"),
    [
        (Windows(1, 1, 80), r"train window \(0-1 %"),
        (Windows(20, 60, 61), r"valid window \(60-61 %"),
        (Windows(20, 60, 100), r"test window \(100-100 %"),
    ],
)
def test_empty_window_is_named(make_table: MakeTable, windows: Windows, name: str) -> None:
    with pytest.raises(DataError, match=name):
        encode(make_table(ROWS), Settings(windows))


# --- no feature depends on the same time or later ---

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


def features(dataset: EncodedDataset, rows: Any = slice(None)) -> tuple[np.ndarray, np.ndarray]:
    batch = dataset.batch(np.arange(len(dataset))[rows])
    return batch.ids.numpy(), batch.values.numpy()


def assert_same(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> None:
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def encode_until(
    make_table: MakeTable, full: EncodedDataset, rows: Any, windows: Windows, last: int
) -> tuple[EncodedDataset, np.ndarray]:
    """Encode the rows up to a time; also their positions in `full`."""
    kept = [i for i, row in enumerate(rows) if row[3] <= last]
    part = encode(make_table([rows[i] for i in kept]), Settings(windows), schema=full.schema)
    position = {int(source): i for i, source in enumerate(full.source_rows)}
    return part, np.array([position[kept[source]] for source in part.source_rows])


@settings(deadline=None, max_examples=40)
@given(rows=random_rows(), last=st.integers(FIRST_FREE_TIME - 1, 8))
def test_deleting_what_comes_after_a_time_changes_no_earlier_row(
    make_table: MakeTable, rows: Any, last: int
) -> None:
    """Here only the last row of a user is in test, so no history is cut short by freezing."""
    windows = Windows(early=25, train=50, valid=99)
    full = encode(make_table(rows), Settings(windows))
    part, position = encode_until(make_table, full, rows, windows, last)
    assert_same(features(part), features(full, position))


@settings(deadline=None, max_examples=40)
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


@settings(deadline=None, max_examples=40)
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


@settings(deadline=None, max_examples=40)
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


@settings(deadline=None, max_examples=20)
@given(rows=random_rows(), data=st.data())
def test_vocabularies_come_from_train_rows_only(
    make_table: MakeTable, rows: Any, data: st.DataObject
) -> None:
    """Whatever valid and test hold, items included."""
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

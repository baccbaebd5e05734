"""Every field, compared with values worked out by hand."""

from __future__ import annotations

import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.microseconds import SECOND
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.windows import Windows

from .conftest import (
    ROWS,
    SETTINGS,
    WINDOWS,
    MakeTable,
    assert_same,
    features,
    field,
    vocabulary,
    words,
)


def test_rows_are_sorted_by_user_and_time(dataset: EncodedDataset) -> None:
    assert (dataset.source_rows + 1).tolist() == [2, 5, 1, 7, 9, 3, 4, 6, 8, 10]
    assert dataset.user_offsets.tolist() == [0, 5, 10]
    assert dataset.user_names == ("ann", "bob")
    assert dataset.users.tolist() == [0] * 5 + [1] * 5
    assert (dataset.timestamps / SECOND).tolist() == [ROWS[i][3] for i in dataset.source_rows]


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


def test_history_items_are_the_last_two_positives_newest_first(dataset: EncodedDataset) -> None:
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


def test_history_genres_are_the_mean_over_all_positives(dataset: EncodedDataset) -> None:
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
    """bob alone, encoded with the ids of both users."""
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
    with pytest.raises(DataError, match=r"tiny\.csv: the file contains no interactions"):
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


def test_ids_that_may_be_wrong_are_counted(make_table: MakeTable) -> None:
    rows = [(user, "i1" if t % 2 else "i1 ", 5.0, t) for t in range(5) for user in ("7", "007")]
    table = make_table(rows)
    encode(table, SETTINGS)
    user, item = table.repairs
    assert user == (
        "tiny.csv (column user): one number with several spellings: 2 users ('7', '007'; 10 "
        "rows); each spelling counts as a separate user: use one spelling"
    )
    assert item == (
        "tiny.csv (column item): with surrounding blanks: 1 item ('i1 '; 6 rows); each spelling "
        "counts as a separate item: use one spelling, without blanks"
    )

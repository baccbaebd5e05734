"""Fields of items and profiles of histories, whatever item features exist."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from metaselector.data.interactions import Feature, InteractionTable, nothing_known
from metaselector.data.preparation import fields as fields_module
from metaselector.data.preparation.encode import Settings, encode

from .conftest import ROWS, WINDOWS, MakeTable, field, vocabulary


def with_items(table: InteractionTable, **categories: tuple[str, ...]) -> InteractionTable:
    """`table` without user features, and with only categories of items."""
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

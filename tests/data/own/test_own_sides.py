"""Features of users and items in files beside the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature
from metaselector.data.own.own_log import read_log

from .conftest import problem, write

SIDES: dict[str, Any] = {
    "users": {"file": "users.csv", "key": "id", "features": {"age": {"kind": "numeric"}}},
    "items": {
        "file": "items.tsv",
        "key": "id",
        "features": {"genres": {"kind": "multivalued", "profile": True}, "brand": {}},
    },
}


def write_sides(folder: Path, users: str, items: str) -> Path:
    (folder / "users.csv").write_text(users)
    (folder / "items.tsv").write_text(items)
    return write(folder, **SIDES)


def test_users_and_items(tmp_path: Path) -> None:
    users = "id,age\nann,24\nbob,\n"
    items = "id\tgenres\tbrand\n2\tDrama|War|\tx\n3\tWar\ty\n3\tTwice\ty\n'a'\t\t\n"
    table = read_log(write_sides(tmp_path, users, items))
    expected = pd.DataFrame({"age": [24, np.nan]}, pd.Index(["ann", "bob"], name="user"))
    pd.testing.assert_frame_equal(table.users, expected, check_index_type=False)
    # Nothing is said of rows of items that do not occur.
    assert table.items.index.tolist() == ["2"]
    assert table.items["genres"].tolist() == [("Drama", "War")]
    assert table.items["brand"].tolist() == ["x"]
    assert table.user_features == (Feature("age", "numeric"),)
    assert table.item_features == (Feature("genres", "multivalued", profile=True), Feature("brand"))
    assert table.repairs == []


def test_sides_that_say_nothing(tmp_path: Path) -> None:
    table = read_log(write_sides(tmp_path, "id,age\n", "id\tgenres\tbrand\n2\t\t\n"))
    assert list(table.users) == ["age"]
    assert table.items["genres"].tolist() == [()]
    assert [repair.partition("column ")[2].split()[0] for repair in table.repairs] == [
        "'age'",
        "'genres'",
        "'brand'",
    ]


def test_sides_that_spell_names_in_another_way(tmp_path: Path) -> None:
    """They stay unknown, except users and items that are listed in both spellings."""
    users = "id,age\n ann,24\n4294967296123,1\n04294967296123,2\n"
    items = "id\tgenres\tbrand\n2.0\tDrama\tx\n02\tWar\tx\n'a'\tWar\ty\n"
    table = read_log(write_sides(tmp_path, users, items + '"a ""b"", c"\tWar\ty\n'))
    assert table.items.index.tolist() == ['a "b", c']
    list(table.read())
    assert table.repairs == [
        f"{tmp_path / 'users.csv'}: column 'id': 1 user is spelled differently than in the "
        "interactions (' ann' for 'ann'), so features are missing; use one spelling",
        f"{tmp_path / 'items.tsv'}: column 'id': 1 item is spelled differently than in the "
        "interactions ('02' for '2'), so features are missing; use one spelling",
    ]


def test_sides_of_others(tmp_path: Path) -> None:
    table = read_log(write_sides(tmp_path, "id,age\nAnn,1\n", "id\tgenres\tbrand\n02\tx\ty\n"))
    assert table.items.empty
    assert table.repairs == [
        f"{tmp_path / name}: column 'id' has none of the {index} of the interactions; compare "
        "their spelling"
        for name, index in {"users.csv": "users", "items.tsv": "items"}.items()
    ]


def test_sides_that_are_wrong(tmp_path: Path) -> None:
    good = "id\tgenres\tbrand\n2\t\t\n"
    assert problem(write_sides(tmp_path, "id,age\na,1\nb,2\na,3\n", good)) == (
        "users.csv:4 (column id): 'a' was already described in line 2; remove one of the two"
    )
    assert problem(write_sides(tmp_path, "id,age\na,old\n", good)).startswith(
        "users.csv:2 (column age): 'old' is not a finite number"
    )
    assert problem(write_sides(tmp_path, "id,aged\na,1\n", good)).startswith(
        "users.csv:1 (column age): there is no such column, but the schema names it as "
        "users.features.age; did you mean 'aged'?"
    )
    table = read_log(write_sides(tmp_path, "id,age\na,1\n", good + "2\tx\ty\n"))
    with pytest.raises(DataError, match=r"items.tsv:3 \(column id\): '2' was already described in"):
        _ = table.items

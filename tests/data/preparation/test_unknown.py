"""Unknown users, items and words are counted, and an error if all are unknown."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metaselector.common.errors import DataError, UnknownWarning
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.parts import Settings
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.unknown import (
    find_unknown,
    warn_apart,
    warn_unknown,
    warn_unknown_items,
)
from metaselector.data.registry import read

ROWS = Path("rows")
SCHEMA = """
version: 1
interactions: log.csv
user: who
item: what
time: {column: at, unit: seconds}
labels: {liked: {column: liked}}
features:
  device: {kind: categorical}
  price: {kind: numeric, buckets: 2}
  tags: {kind: multivalued, separator: ";"}
users: {file: users.csv, key: who, features: {city: {kind: categorical}, age: {kind: numeric}}}
items: {file: items.csv, key: what, features: {groups: {kind: multivalued}}}
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> FittedEncoder:
    folder = tmp_path_factory.mktemp("shop")
    rows = [
        f"{u},{i},{10 * i},{i % 2},{'phone' if i % 2 else 'tv'},{i},{'a;b' if i % 3 else 'c'}"
        for u in (1, 2, 3)
        for i in range(1, 11)
    ]
    (folder / "log.csv").write_text("\n".join(["who,what,at,liked,device,price,tags", *rows]))
    (folder / "users.csv").write_text("who,city,age\n1,Rome,20\n2,Oslo,30\n3,,40\n")
    (folder / "items.csv").write_text("\n".join(["what,groups", *(f"{i},x|y" for i in range(9))]))
    (folder / "shop.yaml").write_text(SCHEMA)
    (folder / "data").mkdir()
    table = read(str(folder / "shop.yaml"), folder / "log.csv")
    encode_to(table, folder / "data", Settings())
    return FittedEncoder.load(folder / "data")


def rows_of(encoder: FittedEncoder, **columns: Any) -> RawRows:
    usual = {"who": "1", "what": ["1", "2"], "at": 99, "device": "tv", "price": 1.0, "tags": "a"}
    return RawRows.of_frame(encoder, pd.DataFrame({**usual, **columns}), ROWS)


def told(encoder: FittedEncoder, given: RawRows) -> str:
    unknown = find_unknown(encoder, given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_unknown(ROWS, unknown)
    return "".join(str(one.message) for one in caught)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, ""),
        ({"what": [1, 2], "who": pd.Categorical(["1", "1"])}, ""),
        ({"device": ["tv", ""], "tags": [None, "c;b;a"]}, ""),
        ({"who": ["7", "8"]}, "2 of 2 users ('7', '8')"),
        ({"what": ["1", "x"]}, "1 of 2 items ('x')"),
        ({"device": ["car", "tv"]}, "1 of 2 words of 'device' ('car')"),
        ({"tags": ["a;d;e", "d;f;g;;h"]}, "5 of 6 words of 'tags' ('d', 'e', 'f', ...)"),
        (
            {"who": ["7", "1"], "what": ["\x1b[31m", "2"]},
            "1 of 2 users ('7'); 1 of 2 items ('\\x1b[31m')",
        ),
        # What is known of a user or item is not read of these rows; of the others it may be new.
        ({"city": "Paris"}, ""),
        ({"who": "7", "city": ["Rome", None]}, "1 of 1 users ('7')"),
        ({"who": "7", "city": "Paris"}, "1 of 1 users ('7'); 1 of 1 words of 'city' ('Paris')"),
        (
            {"what": ["1", "x"], "groups": ["z", "y|w"]},
            "1 of 2 items ('x'); 1 of 2 words of 'groups' ('w')",
        ),
    ],
)
def test_what_is_unknown_is_counted(
    encoder: FittedEncoder, columns: dict[str, Any], message: str
) -> None:
    expected = f"rows: unknown to the model: {message}" if message else ""
    assert told(encoder, rows_of(encoder, **columns)) == expected


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"what": ["1.0", "2.0"]},
            r"rows \(column what\): the model knows none of the items \('1.0', '2.0'\); write them "
            r"as in its training data \('1', '2', '3', ...\), or .*--allow-unknown",
        ),
        ({"device": "TV"}, r"\(column device\): the model knows none of the words \('TV'\)"),
        ({"tags": "a,b"}, r"\(column tags\): the model knows none of the words \('a,b'\)"),
        ({"what": ["1", ""]}, r"rows:2 \(column what\): is empty"),
    ],
)
def test_all_unknown_stops(encoder: FittedEncoder, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_unknown(encoder, rows_of(encoder, **columns))


def test_it_does_not_where_that_is_allowed(encoder: FittedEncoder) -> None:
    given = rows_of(encoder, what=["1.0", "2.0"], device="TV")
    found = find_unknown(encoder, given, allow=True)
    assert [(one.column, len(one.strangers), one.found) for one in found] == [
        ("what", 2, 2), ("device", 1, 1),
    ]  # fmt: skip


def test_no_rows_have_nothing_unknown(encoder: FittedEncoder) -> None:
    assert find_unknown(encoder, rows_of(encoder).without_rows()) == []


def test_new_users_are_expected_where_the_test_is_on_them(encoder: FittedEncoder) -> None:
    schema = encoder.schema.model_copy(update={"cold_seed": 0})
    cold = FittedEncoder(schema, encoder.rows, encoder.users, encoder.items)
    assert told(cold, rows_of(cold, who=["7", "8"])) == ""


def test_items_of_a_run(encoder: FittedEncoder) -> None:
    with pytest.warns(UnknownWarning, match=r"^it: .*model: 1 of 2 items \('x'\)$"):
        warn_unknown_items(encoder, "it", ["1", "x", "1", "x"])
    warn_unknown_items(encoder, "it", ["1", "2"])


def test_warns_if_history_and_candidates_share_no_user(encoder: FittedEncoder) -> None:
    mine, other = rows_of(encoder), rows_of(encoder, who="1.0")
    with pytest.warns(
        UnknownWarning, match=r"no user of rows \('1'\) has a row in rows \(it has '1.0'\)"
    ):
        warn_apart(encoder, other, mine)
    for history, candidates in ((mine, mine), (mine.without_rows(), mine)):
        warn_apart(encoder, history, candidates)

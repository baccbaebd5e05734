"""New items are described by their first row, whoever's it is; new users by their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature, InteractionTable, nothing_known
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.new_rows import encode_rows
from metaselector.data.preparation.newcomers import check_user_features, with_new_items
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.registry import read

SCHEMA = """
version: 1
interactions: log.csv
user: who
item: what
time: {column: at, unit: seconds}
labels: {liked: {column: liked}}
users: {file: users.csv, key: who, features: {age: {kind: numeric}}}
items: {file: items.csv, key: what, features: {price: {kind: numeric}, tags: {kind: multivalued}}}
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> FittedEncoder:
    folder = tmp_path_factory.mktemp("shop")
    rows = [f"{u},{i},{10 * i},{i % 2}" for u in (1, 2, 3) for i in range(1, 11)]
    (folder / "log.csv").write_text("\n".join(["who,what,at,liked", *rows]))
    (folder / "users.csv").write_text("who,age\n1,20\n2,30\n3,\n")
    (folder / "items.csv").write_text(
        "\n".join(["what,price,tags", *(f"{i},{i},x|y" for i in range(1, 11))])
    )
    (folder / "shop.yaml").write_text(SCHEMA)
    (folder / "data").mkdir()
    encode_to(read(str(folder / "shop.yaml"), folder / "log.csv"), folder / "data")
    return FittedEncoder.load(folder / "data")


def rows_of(encoder: FittedEncoder, source: str, **columns: object) -> RawRows:
    usual = {"at": 200, "liked": 1}
    return RawRows.of_frame(encoder, pd.DataFrame({**usual, **columns}), Path(source))


def test_some_rows_are_encoded_as_if_all_were_there(encoder: FittedEncoder) -> None:
    """The price of item a is in a row of user 1 only, and user 2 gets it too."""
    history = rows_of(
        encoder, "history", who=["1", "2", "1"], what=["a", "1", "b"], price=[4.0, 9.0, 5.0],
        tags=["x", "z", ""],
    )  # fmt: skip
    candidates = rows_of(encoder, "candidates", who=["2", "1"], what=["a", "c"], at=300)
    all_rows = encode_rows(encoder, history, candidates)
    knows = with_new_items(encoder, (history, candidates))
    assert list(knows.items.index[-3:]) == ["a", "b", "c"]
    assert knows.items["price"].iloc[-3:].fillna(-1).tolist() == [4, 5, -1]
    assert knows.items["price"]["1"] == 1  # as in the data, whatever the row says
    assert (knows.items.dtypes == encoder.items.dtypes).all()
    mine = encode_rows(
        knows,
        history.select(np.array([False, True, False])),
        candidates.select(np.array([True, False])),
    )
    expected = all_rows.dataset.batch(all_rows.candidates[:1])
    for found, wanted in zip(mine.dataset.batch(mine.candidates), expected, strict=True):
        assert found.equal(wanted)
    alone = encode_rows(encoder, history.without_rows(), candidates.select(np.array([True, False])))
    assert not alone.dataset.batch(alone.candidates).values.equal(expected.values)


def test_without_new_items_nothing_changes(encoder: FittedEncoder) -> None:
    assert with_new_items(encoder, [rows_of(encoder, "h", who=["1"], what=["1"])]) is encoder
    plain = InteractionTable(
        "plain", Path("log.csv"), lambda: iter(()), nothing_known("user"),
        lambda _: nothing_known("item"), features=(Feature("price", "numeric"),),
    )  # fmt: skip
    without = FittedEncoder.of(encoder.schema, plain, [])
    assert with_new_items(without, [rows_of(encoder, "h", who=["1"], what=["a"])]) is without


def test_wrong_features_are_named_if_anybody_is_new(encoder: FittedEncoder) -> None:
    known = rows_of(encoder, "h", who=["1", "2"], what=["1", "1"], age=["1", "old"])
    check_user_features(encoder, [known])  # the ages of the data count
    with pytest.raises(DataError, match=r"h:2 \(column age\): 'old'"):
        check_user_features(encoder, [known, rows_of(encoder, "c", who=["new"], what=["1"])])
    with pytest.raises(DataError, match=r"h:1 \(column price\): 'dear'"):
        with_new_items(encoder, [rows_of(encoder, "h", who=["1"], what=["a"], price=["dear"])])

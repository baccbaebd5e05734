"""A profile without the users of few rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.interactions import Origin
from metaselector.data.profile.describe import describe
from metaselector.data.profile.long_users import LeftOut, long_users
from tests.data.profile.profiled import FEATURES, NOW, START, Columns, table_of

ROW = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))


def columns_of(frame: pd.DataFrame) -> Columns:
    n = np.arange(len(frame))
    return {
        "user": [f"u{user}" for user in frame["user"]],
        "item": [f"i{item}" for item in frame["item"]],
        "timestamp": START + frame["time"].to_numpy(np.int64),
        "rating": 5.0 * (frame["item"].to_numpy() % 2),
        "device": [f"d{item}" for item in frame["item"]],
        "tags": ["a;b"] * len(n),
        "price": frame["time"].to_numpy(np.float64),
    }


@given(st.lists(ROW, min_size=1, max_size=20), st.integers(2, 4), st.integers(0, 20))
def test_equals_a_profile_of_a_file_without_them(
    rows: list[tuple[int, int, int]], fewest: int, cut: int
) -> None:
    frame = pd.DataFrame(rows, columns=["user", "item", "time"])
    sizes = frame.drop_duplicates().groupby("user").size()
    kept = frame["user"].isin(sizes[sizes >= fewest].index)
    table = table_of(columns_of(frame), FEATURES, cuts=[cut])
    if not kept.any():
        with pytest.raises(DataError, match=rf"no user has {fewest} rows or more; set data\.min_u"):
            long_users(table, fewest)
        return
    found = describe(table, 4.0, min_user_rows=fewest, now=NOW)
    assert found.left_out == LeftOut(fewest, int((sizes < fewest).sum()), int((~kept).sum()))
    expected = describe(table_of(columns_of(frame[kept]), FEATURES), 4.0, now=NOW)
    assert replace(found, left_out=None) == expected


def test_of_a_copy_it_is_said() -> None:
    origin = Origin("Tiny (copy)", "It has no times.")
    table = replace(table_of({"user": ["u", "u"]}), origin=origin)
    assert describe(table, 4.0).origin == origin

"""Lists exploded from columns, or given by one: tiny logs, what is dropped, and what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from numpy.typing import NDArray
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature, InteractionTable, Task
from metaselector.data.own import list_rows
from metaselector.data.own.frame import frame_log
from metaselector.data.own.own_log import read_log

from .shown import HEADER, LOG, SCHEMA, write_shown

BY_COLUMN = """
version: 1
interactions: shown.csv
user: user
item: item
time: {column: time, unit: seconds}
labels: {bought: {column: bought}}
list: search
time_parts: []
"""


def lists_of(table: InteractionTable) -> NDArray[np.int64]:
    """The number of each row's list."""
    return np.concatenate([block.lists for block in table.read() if block.lists is not None])


def test_each_entry_becomes_a_row(tmp_path: Path) -> None:
    table = read_log(write_shown(tmp_path))
    assert table.lists
    assert table.tasks == (Task("chosen", 1.0, flag=True),)
    assert table.features == (Feature("price", "numeric"), Feature("city"), Feature("position"))
    rows = table.interactions
    assert rows["user"].tolist() == ["ann", "ann", "ann", "bob", "bob", "ann"]
    assert rows["item"].tolist() == ["h1", "h2", "h3", "h4", "h1", "h2"]
    assert rows["price"].tolist() == [10, 20, 30, 40, 11, 21]
    assert rows["position"].tolist() == ["1", "2", "3", "1", "2", "1"]
    assert rows["city"].tolist() == ["Rome", "Rome", "Rome", "Oslo", "Oslo", "Oslo"]
    assert rows["chosen"].tolist() == [0, 1, 0, 1, 0, 1]
    assert rows["line"].tolist() == [2, 2, 2, 4, 4, 5]
    assert not table.repairs
    lists = lists_of(table)
    assert len(np.unique(lists)) == 3
    assert (np.diff(lists) != 0).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("listed", [False, True], ids=["text", "lists"])
def test_parquet_gives_the_same_rows(tmp_path: Path, listed: bool) -> None:
    expected = read_log(write_shown(tmp_path)).interactions
    frame = pd.read_csv(tmp_path / "shown.csv")
    columns = {name: pa.array(frame[name], from_pandas=True) for name in frame}
    if listed:
        for name in ("shown", "prices"):
            lists = [None if isinstance(v, float) else v.split("|") for v in frame[name]]
            columns[name] = pa.array(lists)
    parquet.write_table(pa.table(columns), tmp_path / "shown.parquet")
    found = read_log(tmp_path / "shown.yaml", tmp_path / "shown.parquet").interactions
    pd.testing.assert_frame_equal(found.drop(columns="line"), expected.drop(columns="line"))


def test_small_pieces_give_the_same_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shown(tmp_path, LOG * 3)
    whole = read_log(path)
    expected, one = whole.interactions, lists_of(whole)
    monkeypatch.setattr(list_rows, "_PIECE", 2)
    pieces = read_log(path)
    pd.testing.assert_frame_equal(pieces.interactions, expected)
    found = lists_of(pieces)
    # Numbers may differ, but not which rows share one.
    assert ((found[:, None] == found) == (one[:, None] == one)).all()


def test_lists_without_the_chosen_entry_are_dropped_and_counted(tmp_path: Path) -> None:
    odd = ("ann,clickout,1000000009,Rome,h1|h2,1|2,h9", "ann,clickout,1000000010,Rome,h1|h2,1|2,")
    table = read_log(write_shown(tmp_path, (*LOG, *odd)))
    assert len(table.interactions) == 6
    (said,) = table.repairs
    assert said.endswith(
        "2 lists were dropped, as column 'clicked' has nothing that was shown (first in "
        "shown.csv:6)"
    )


def test_empty_lists_are_dropped_and_counted(tmp_path: Path) -> None:
    table = read_log(write_shown(tmp_path, (*LOG, "bob,clickout,1000000009,Rome,,,h1")))
    assert len(table.interactions) == 6
    (said,) = table.repairs
    assert "1 list was dropped, as column 'shown' is empty (first in shown.csv:6)" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "ann,clickout,1000000009,Rome,h1|h2,10,h1",
            r"shown\.csv:6 \(column prices\): has 1 entries, but column 'shown' has 2; correct one",
        ),
        (
            "ann,clickout,1000000009,Rome,h1||h2,1|2|3,h1",
            r"shown\.csv:6 \(column shown\): is empty",
        ),
        ("ann,clickout,1000000009,Rome,h1|h2,1|x,h1", r"shown\.csv:6 \(column prices\): 'x'"),
    ],
    ids=["parallel", "empty entry", "not a number"],
)
def test_malformed_lists_are_errors(tmp_path: Path, line: str, message: str) -> None:
    table = read_log(write_shown(tmp_path, (*LOG, line)))
    with pytest.raises(DataError, match=message):
        _ = table.interactions


def test_where_that_fits_no_row_is_an_error(tmp_path: Path) -> None:
    schema = SCHEMA.replace("action: clickout", "action: clickot")
    table = read_log(write_shown(tmp_path, schema=schema))
    with pytest.raises(DataError, match="no row has action = 'clickot' and a list; correct"):
        _ = table.interactions


def test_a_column_of_lists(tmp_path: Path) -> None:
    lines = ("ann,s1,1000000000,a,0", "ann,s1,1000000000,b,1", "bob,s1,1000000000,a,0")
    table = read_log(write_shown(tmp_path, lines, BY_COLUMN, header="user,search,time,item,bought"))
    assert len(set(lists_of(table).tolist())) == 1  # a list belongs to a user: bob's is another one
    assert table.interactions["bought"].tolist() == [0, 1, 0]


def test_every_row_needs_a_list(tmp_path: Path) -> None:
    lines = ("ann,s1,1000000000,a,0", "ann,,1000000000,b,1")
    table = read_log(write_shown(tmp_path, lines, BY_COLUMN, header="user,search,time,item,bought"))
    with pytest.raises(DataError, match=r"shown\.csv:3 \(column search\): is empty, but every row"):
        _ = table.interactions


def test_a_missing_column_is_named_with_its_role(tmp_path: Path) -> None:
    path = write_shown(tmp_path, header=HEADER.replace("clicked", "clicks"))
    with pytest.raises(DataError, match=r"the schema names it as list\.chosen"):
        read_log(path)


def test_data_frames_have_lists_too(tmp_path: Path) -> None:
    expected = read_log(write_shown(tmp_path)).interactions
    frame = pd.read_csv(tmp_path / "shown.csv")
    for name in ("shown", "prices"):
        frame[name] = [v.split("|") if isinstance(v, str) else None for v in frame[name]]
    columns = {
        key: value
        for key, value in yaml.safe_load(SCHEMA).items()
        if key not in ("version", "interactions")
    }
    made = frame_log(frame, columns, tmp_path)
    found = read_log(made.schema, tables=made.tables).interactions
    pd.testing.assert_frame_equal(found.drop(columns="line"), expected.drop(columns="line"))

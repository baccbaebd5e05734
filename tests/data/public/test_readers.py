"""One suite for all readers: the same data in every format give the same table."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .formats import COLUMNS, FORMATS, ITEMS, RATINGS, Format


def test_table_is_the_world(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    table = format_.read(tmp_path)

    assert table.source == tmp_path / format_.files[0]
    expected = pd.DataFrame(RATINGS, columns=list(COLUMNS), dtype="str").assign(
        rating=[5.0, 3.0, 4.0, 1.0, 2.0, 2.0],
        timestamp=np.array([int(row[3]) for row in RATINGS], dtype=np.int64),
        line=np.arange(len(RATINGS), dtype=np.int64) + 1 + format_.header_lines,
    )
    pd.testing.assert_frame_equal(table.interactions, expected)
    users = pd.DataFrame(
        {"age": ["25", "56"], "gender": ["F", "M"], "occupation": ["7", "16"]},
        index=pd.Index(["1", "2"], name="user", dtype="str"),
        dtype="str",
    )
    if not format_.knows_users:
        users = pd.DataFrame(index=pd.Index([], name="user", dtype="str"))
    pd.testing.assert_frame_equal(table.users, users)
    index = pd.Index([row[0] for row in ITEMS], name="item", dtype="str")
    items = pd.DataFrame(
        {
            "title": pd.Series([row[1] for row in ITEMS], index, dtype="str"),
            "release_year": pd.Series(["1995", "1995", "1994"], index, dtype="str"),
            "genres": pd.Series([row[2] for row in ITEMS], index, dtype=object),
        }
    )
    pd.testing.assert_frame_equal(table.items, items)
    assert [feature.name for feature in table.user_features] == list(users)
    assert [(feature.name, feature.kind, feature.profile) for feature in table.item_features] == [
        ("genres", "multivalued", True),
        ("release_year", "categorical", False),
    ]


def test_interactions_can_be_read_again(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    table = format_.read(tmp_path)
    for _ in range(2):
        assert sum(len(block.lines) for block in table.read()) == len(RATINGS)


def test_ids_are_text_however_large(format_: Format, tmp_path: Path) -> None:
    format_.write(tmp_path)
    path = tmp_path / format_.files[0]
    huge, last = "9876543210123456789012345", RATINGS[-1]
    row = format_.separator.join([huge, "4294967297", *last[2:]])
    path.write_text(path.read_text() + row + "\n")
    found = format_.read(tmp_path).interactions.iloc[-1]
    assert (found["user"], found["item"]) == (huge, "4294967297")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n\r\n  \n",
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        gzip.compress,
    ],
    ids=["blank lines at the end", "Windows line ends", "byte order mark", "gzip"],
)
def test_harmless_differences(
    format_: Format, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    format_.write(tmp_path)
    before = format_.read(tmp_path)
    path = tmp_path / format_.files[0]
    path.write_bytes(change(path.read_bytes()))
    pd.testing.assert_frame_equal(format_.read(tmp_path).interactions, before.interactions)


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        ("ml-100k", "100k"),
        ("ml-1m", "1m"),
        ("ml-10M100K", "10m"),
        ("ml-20m", "20m"),
        ("movietweetings", "tweetings"),
    ],
)
def test_official_sub_folder(tmp_path: Path, name: str, format_name: str) -> None:
    (tmp_path / name).mkdir()
    format_ = FORMATS[format_name]
    format_.write(tmp_path / name)
    assert format_.read(tmp_path).source == tmp_path / name / format_.files[0]

"""Descriptions of logs with lists judge the rows that preparation puts into each window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metaselector.common.errors import DataError
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.encode import encode
from metaselector.data.preparation.parts import Parts, Settings
from metaselector.data.profile.describe import describe
from metaselector.data.profile.long_users import LeftOut
from metaselector.data.profile.row_kinds import DROPPED, TEST, TRAIN, VALID, row_kinds
from metaselector.data.profile.row_log import RowLog
from metaselector.data.splitting.windows import Windows, window_rows

from ..own.shown import write_shown

WINDOWS = Windows(40, 60, 80)


def lines(lists: dict[str, int]) -> tuple[str, ...]:
    """Lists of 1 to 3 hotels of each user, one every ten seconds."""
    return tuple(
        f"{user},clickout,{1_000_000_000 + 10 * place},Rome,"
        f"{'|'.join(f'h{i}' for i in range(1 + place % 3))},"
        f"{'|'.join('5' for _ in range(1 + place % 3))},h{place % 2 * (place % 3 > 0)}"
        for user, count in lists.items()
        for place in range(count)
    )


def test_rows_lie_in_the_windows_of_preparation(tmp_path: Path) -> None:
    table = read_log(write_shown(tmp_path, lines({"ann": 7, "bob": 1, "cem": 9})))
    dataset = encode(table, Settings(windows=WINDOWS, drop_short_users=True))
    log, names = RowLog(), ["ann", "bob", "cem"]
    for block in table.read():
        user = np.array([names.index(u) for u in block.user.to_pylist()], dtype=np.int32)
        items = np.array([int(i[1:]) for i in block.item.to_pylist()], dtype=np.int32)
        log.add(user, items, block.timestamps)
    rows = np.array([13, 1, 18])
    kinds = row_kinds(log, rows, Parts(WINDOWS), lists=True)
    assert len(kinds) == rows.sum()
    for kind, edges in {TRAIN: (0, 60), VALID: (60, 80), TEST: (80, 100)}.items():
        inside = window_rows(dataset.user_offsets, *edges, dataset.list_offsets)
        assert np.flatnonzero(kinds == kind).tolist() == dataset.source_rows[inside].tolist()
    assert np.flatnonzero(kinds == DROPPED).tolist() == [13]


def test_users_with_few_lists_are_left_out(tmp_path: Path) -> None:
    table = read_log(write_shown(tmp_path, lines({"ann": 7, "bob": 3, "cem": 9})))
    found = describe(table, 4.0, windows=WINDOWS, min_user_lists=4)
    assert found.left_out == LeftOut(1, 1, 6, min_user_lists=4)
    assert found.left_out.wanted == "4 lists, with 6 rows (data.min_user_lists)"
    assert found.users == 2
    assert not any("share their time" in warning for warning in found.warnings)
    assert found.lists
    assert found.same_time_share == 25 / 31  # all but the six lists of one hotel
    with pytest.raises(DataError, match=r"no user has 99 lists or more; set data\.min_user_lists"):
        describe(table, 4.0, windows=WINDOWS, min_user_lists=99)

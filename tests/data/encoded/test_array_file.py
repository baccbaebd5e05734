"""Arrays written piece by piece."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from metaselector.data.encoded.array_file import ArrayFile, open_array, release
from tests.data.encoded.mapped import linux_tells, mapped_megabytes


@pytest.mark.parametrize("row", [(), (3,), (0,)])
@pytest.mark.parametrize("pieces", [[], [0], [2, 0, 5]])
def test_what_was_appended_is_read(tmp_path: Path, row: tuple[int, ...], pieces: list[int]) -> None:
    path = tmp_path / "a.npy"
    rows = [np.full((n, *row), n, dtype=np.int64) for n in pieces]
    with ArrayFile(path, np.int32, row) as file:
        for piece in rows:
            file.append(piece)
    expected = np.concatenate([np.zeros((0, *row)), *rows]).astype(np.int32)
    found = np.load(path)
    assert found.dtype == np.int32
    assert np.array_equal(found, expected)
    assert file.sha256 == hashlib.sha256(expected.tobytes()).hexdigest()


def test_a_failed_one_holds_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    file = ArrayFile(path, np.int32)
    file.append(np.arange(3))
    file.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert len(np.load(path)) == 0


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"rows of shape \(2,\) in a file of rows \(3,\)"),
        ArrayFile(tmp_path / "a.npy", np.int32, (3,)) as file,
    ):
        file.append(np.zeros((1, 2)))


@linux_tells
def test_released_pages_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    with ArrayFile(path, np.int64) as file:
        file.append(np.arange(2**22))
    array, _ = open_array(path)
    total = int(array.sum())
    assert mapped_megabytes(tmp_path) >= 32
    release(array)
    assert mapped_megabytes(tmp_path) == 0
    assert int(array.sum()) == total
    changed = np.memmap(path, np.int64, "c", offset=128)
    changed[:3] = 7
    release(changed)
    assert changed[:3].tolist() == [7, 7, 7]
    in_memory = np.arange(3)
    release(in_memory)
    assert in_memory.tolist() == [0, 1, 2]

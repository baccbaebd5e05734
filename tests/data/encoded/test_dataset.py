"""Saved data sets load unchanged, or raise an error."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaselector.common.errors import DataError, UserError
from metaselector.data.encoded import array_file
from metaselector.data.encoded import dataset as module
from metaselector.data.encoded.array_file import ArrayFile
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.digests import add_digests
from metaselector.data.encoded.schema import VERSION
from tests.data.encoded.mapped import linux_tells, mapped_megabytes

ARRAYS = [
    "task_labels", "timestamps", "source_rows", "user_offsets", "items", "cells", "user_cells",
    "item_cells", "liked", "liked_offsets", "history_sizes", "profiles",
]  # fmt: skip


@pytest.fixture
def dataset(make_dataset: Callable[[Sequence[int]], EncodedDataset]) -> EncodedDataset:
    return make_dataset([3, 5])


@pytest.fixture
def saved(dataset: EncodedDataset, tmp_path: Path) -> Path:
    dataset.save(tmp_path / "encoded")
    return tmp_path / "encoded"


def test_sizes(dataset: EncodedDataset) -> None:
    assert len(dataset) == 8
    assert dataset.num_users == 2
    assert dataset.users.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_batch_takes_rows_of_any_shape(dataset: EncodedDataset) -> None:
    batch = dataset.batch(np.array([[0, 7], [2, 2]]))
    assert batch.ids.dtype == torch.int64
    assert batch.ids.tolist() == [[[1], [8]], [[3], [3]]]
    assert batch.values.dtype == torch.float32
    assert dataset.label(np.array([[0, 7], [2, 2]])).tolist() == [[0, 1], [0, 0]]


def test_small_data_is_put_together_once(
    dataset: EncodedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = np.array([[5, 0], [5, 7]])
    at_once = replace(dataset).batch(rows)
    monkeypatch.setattr(module, "WHOLE_SLOTS", 0)
    each_time = replace(dataset).batch(rows)
    for ours, theirs in zip(at_once, each_time, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


def test_roundtrip(dataset: EncodedDataset, saved: Path) -> None:
    loaded = EncodedDataset.load(saved)
    for field in fields(EncodedDataset):
        before, after = getattr(dataset, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype
            assert np.array_equal(after, before)
        else:
            assert field.name == "sha256" or after == before
    assert loaded.digest() == dataset.digest() != ""


@pytest.mark.parametrize("name", ARRAYS)
def test_loaded_arrays_are_memory_mapped_and_read_only(saved: Path, name: str) -> None:
    array = getattr(EncodedDataset.load(saved), name)
    assert isinstance(array.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0


@linux_tells
def test_reading_all_rows_does_not_hold_them(
    dataset: EncodedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_file, "MAPPED_ROWS", 2**15)
    monkeypatch.setattr(module, "WHOLE_SLOTS", 0)
    n = 2**22  # arrays of 16 MB: some kernels map 2 MB around what is read
    large = EncodedDataset.of_rows(
        dataset.schema,
        cells=np.ones((n, 1), np.int32),
        labels=np.ones(n, np.float32),
        user_offsets=np.array([0, 1, n]),
        user_names=("a", "b"),
    )
    large.save(tmp_path / "large")
    loaded = EncodedDataset.load(tmp_path / "large")
    assert mapped_megabytes(tmp_path) < 2  # those that were checked are given back
    held = []
    for start in range(0, n, 2**14):
        batch = loaded.batch(np.arange(start, start + 2**14))
        assert batch.ids.eq(1).all()
        if start % 2**18 == 0:
            held.append(mapped_megabytes(tmp_path))
    assert max(held) < 24
    total = sum(int(getattr(loaded, name).sum()) for name in ARRAYS)
    assert mapped_megabytes(tmp_path) > 64
    loaded.batch(np.arange(2**15))
    assert mapped_megabytes(tmp_path) < 4
    assert sum(int(getattr(loaded, name).sum()) for name in ARRAYS) == total
    monkeypatch.setattr(array_file, "MAPPED_USERS", 4)
    for _ in range(2):  # of few rows, but far apart
        loaded.batch(np.array([[0], [n - 1]]))
    assert mapped_megabytes(tmp_path) < 4


def test_batch_of_a_loaded_data_set_is_a_copy(saved: Path) -> None:
    loaded = EncodedDataset.load(saved)
    loaded.batch(np.array([0])).ids.zero_()
    assert loaded.cells[0, 0] == loaded.batch(np.array([0])).ids[0, 0] == 1


def test_saving_replaces_what_was_there(saved: Path, make_dataset: Any) -> None:
    (saved / "stale").touch()
    make_dataset([2]).save(saved)
    assert len(EncodedDataset.load(saved)) == 2
    assert not (saved / "stale").exists()
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize(
    "name", [*(f"{name}.npy" for name in ARRAYS), "users.json", "schema.json", "sha256.json"]
)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage"])
def test_damaged_file_is_named(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "truncated": content[:-3], "garbage": b"\xff\x00"}[damage])
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        EncodedDataset.load(saved)


@pytest.mark.parametrize("name", ARRAYS)
def test_array_of_another_type_is_named(saved: Path, name: str) -> None:
    np.save(saved / f"{name}.npy", np.load(saved / f"{name}.npy").astype(np.int16))
    add_digests(saved, [f"{name}.npy"])  # as somebody would who means it
    with pytest.raises(DataError, match=rf"{name}\.npy: contains int16"):
        EncodedDataset.load(saved)


# The other arrays must fit to these.
@pytest.mark.parametrize("name", sorted(set(ARRAYS) - {"timestamps", "liked", "item_cells"}))
def test_array_of_another_length_is_named(saved: Path, name: str) -> None:
    array = np.load(saved / f"{name}.npy")
    np.save(saved / f"{name}.npy", np.concatenate([array, array[:1], array[:1]]))
    add_digests(saved, [f"{name}.npy"])
    with pytest.raises(DataError, match=rf"{name}\.npy: shape"):
        EncodedDataset.load(saved)


def test_schema_of_a_later_version_is_refused(saved: Path) -> None:
    schema = json.loads((saved / "schema.json").read_text())
    (saved / "schema.json").write_text(json.dumps({**schema, "version": VERSION + 1}))
    add_digests(saved, ["schema.json"])
    with pytest.raises(DataError, match="not a schema this version can read"):
        EncodedDataset.load(saved)


def test_times_in_seconds_of_an_earlier_version_are_refused(saved: Path) -> None:
    schema = json.loads((saved / "schema.json").read_text())
    (saved / "schema.json").write_text(json.dumps({**schema, "version": 2}))
    add_digests(saved, ["schema.json"])
    with pytest.raises(
        DataError, match=r"truncated times to whole seconds; .* `metaselector data prep"
    ):
        EncodedDataset.load(saved)


def test_whole_seconds_keep_the_digest_that_they_had_in_seconds(
    make_dataset: Callable[[Sequence[int]], EncodedDataset],
) -> None:
    """Computed as in version 2, from seconds and its schema."""
    dataset = make_dataset([3, 2])
    schema = dataset.schema.model_copy(update={"version": 2})
    text = schema.model_dump_json(indent=1, exclude_none=True)
    expected = hashlib.sha256((text + json.dumps(list(dataset.user_names))).encode())
    for name in ARRAYS:
        array = getattr(dataset, name)
        array = array // 1_000_000 if name == "timestamps" else array
        expected.update(f"{name} {hashlib.sha256(array.tobytes()).hexdigest()}".encode())
    assert dataset.digest() == expected.hexdigest()
    later = replace(dataset, timestamps=dataset.timestamps + 1)
    assert later.digest() != dataset.digest()


def test_the_schema_of_an_older_model_is_written_as_one_of_today(
    saved: Path, tmp_path: Path
) -> None:
    """Rows to predict are encoded with the schema of a saved model, whose fields are the same."""
    dataset = EncodedDataset.load(saved)
    older = dataset.schema.model_copy(update={"version": 2})
    replace(dataset, schema=older).save(tmp_path / "again")
    assert EncodedDataset.load(tmp_path / "again").schema == dataset.schema


def test_missing_directory_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="metaselector data prepare"):
        EncodedDataset.load(tmp_path / "nothing")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third array no longer fits."""
    append, calls = ArrayFile.append, []

    def failing_append(file: ArrayFile, rows: Any) -> None:
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        append(file, rows)

    monkeypatch.setattr(ArrayFile, "append", failing_append)


@pytest.mark.usefixtures("full_disk")
def test_failed_save_leaves_nothing(dataset: EncodedDataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoded: cannot be written.*No space left"):
        dataset.save(tmp_path / "encoded")
    assert not list(tmp_path.iterdir())


def test_failed_save_keeps_what_was_there(
    saved: Path, request: pytest.FixtureRequest, make_dataset: Any
) -> None:
    request.getfixturevalue("full_disk")
    with pytest.raises(UserError):
        make_dataset([2]).save(saved)
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert len(EncodedDataset.load(saved)) == 8

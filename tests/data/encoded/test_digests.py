"""Changes to a prepared directory are detected."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded import digests
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.dataset_files import IN_SECONDS
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.titles import load_titles
from metaselector.data.public.atomic import read_atomic

ARRAYS = (
    "cells", "history_sizes", "item_cells", "items", "liked", "liked_offsets", "profiles",
    "source_rows", "task_labels", "timestamps", "user_cells", "user_offsets",
)  # fmt: skip
FILES = (
    *(f"{name}.npy" for name in ARRAYS),
    "known_items.parquet",
    "known_users.parquet",
    "rows.json",
    "schema.json",
    "sha256.json",
    "titles.parquet",
    "users.json",
)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "a byte more": lambda data: data + b"\0",
    "twice": lambda data: data * 2,
    "zeroed": lambda data: bytes(len(data)),
    "other end": lambda data: data[:-4] + b"\xff" * 4,
    "first bit": lambda data: _flipped(data, 0),
    "bit of the header": lambda data: _flipped(data, 61),
    "bit in the middle": lambda data: _flipped(data, len(data) // 2),
    "last bit": lambda data: _flipped(data, -2),
}


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[at % len(data)] ^= 1
    return bytes(changed)


def _all_of(directory: Path) -> tuple[Any, ...]:
    """Load everything in a prepared directory."""
    dataset, known = EncodedDataset.load(directory), FittedEncoder.load(directory)
    arrays = [getattr(dataset, name).tobytes() for name in ARRAYS]
    frames = known.users.to_csv(), known.items.to_csv()
    texts = dataset.schema, known.schema, known.rows, dataset.user_names, load_titles(directory)
    return dataset.sha256, *arrays, *frames, *texts


@pytest.fixture(scope="module")
def whole(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[Any, ...]]:
    folder = tmp_path_factory.mktemp("digests")
    prepared = folder / "data"
    prepared.mkdir()
    encode_to(read_atomic(write_world(folder / "raw"), "ml-100k"), prepared)
    return prepared, _all_of(prepared)


@pytest.fixture
def prepared(whole: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole[0], tmp_path / "data"))


@pytest.fixture
def linked(whole: tuple[Path, Any], tmp_path: Path) -> Path:
    """The same without copying; a file is removed before another one takes its place."""
    return Path(shutil.copytree(whole[0], tmp_path / "data", copy_function=os.link))


def test_every_file_is_listed(prepared: Path) -> None:
    assert sorted(path.name for path in prepared.iterdir()) == sorted(FILES)
    listed = digests.read_digests(prepared)
    assert sorted([*listed.keys() - {IN_SECONDS}, digests.FILE]) == sorted(FILES)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_no_damage_goes_unnoticed(linked: Path, name: str, damage: str) -> None:
    path = linked / name
    damaged = DAMAGES[damage](path.read_bytes())
    path.unlink()
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=rf"{name}: .*damaged.*prepare` again"):
        _all_of(linked)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(linked: Path, name: str) -> None:
    (linked / name).unlink()
    with pytest.raises(DataError, match=rf"{name}: (missing|no prepared data).*data prepare`"):
        _all_of(linked)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file(linked: Path, name: str) -> None:
    (linked / name).unlink()
    (linked / name).mkdir()
    with pytest.raises(DataError, match=rf"{name}: .*prepare` again"):
        _all_of(linked)


@pytest.mark.parametrize(
    "pair",
    [
        ("user_cells.npy", "item_cells.npy"),
        ("user_offsets.npy", "liked_offsets.npy"),
        ("timestamps.npy", "source_rows.npy"),
        ("known_users.parquet", "known_items.parquet"),
        ("schema.json", "rows.json"),
    ],
)
def test_swapped_files(linked: Path, pair: tuple[str, str]) -> None:
    one, other = (linked / name for name in pair)
    one.rename(linked / "away")
    other.rename(one)
    (linked / "away").rename(other)
    with pytest.raises(DataError, match=r"damaged.*prepare` again"):
        _all_of(linked)


def test_a_file_of_other_data(prepared: Path, make_dataset: Any, tmp_path: Path) -> None:
    make_dataset([600, 600]).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "items.npy", prepared)
    with pytest.raises(DataError, match=r"items\.npy: damaged"):
        EncodedDataset.load(prepared)


def test_a_file_that_is_not_listed(prepared: Path) -> None:
    listed = digests.read_digests(prepared)
    digests.write_digests(prepared, {k: v for k, v in listed.items() if k != "titles.parquet"})
    with pytest.raises(DataError, match=r"titles\.parquet: not listed in sha256\.json"):
        load_titles(prepared)


def test_the_list_of_an_earlier_version(prepared: Path) -> None:
    (prepared / "sha256.json").write_text(json.dumps("0" * 64))
    with pytest.raises(
        DataError, match=r"sha256\.json: the data were prepared by an earlier version"
    ):
        EncodedDataset.load(prepared)


def test_files_are_hashed_once_a_process(
    whole: tuple[Path, tuple[Any, ...]], prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _all_of(prepared) == whole[1]
    hashed: list[str] = []
    digest = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda path: hashed.append(path.name) or digest(path))
    moved = prepared.rename(prepared.parent / "moved")  # as preparing does in the end
    _all_of(moved)
    assert hashed == []
    path = moved / "items.npy"
    path.write_bytes(_flipped(path.read_bytes(), -2))
    os.utime(path, ns=(0, 0))  # the clock of a file system may stand still for milliseconds
    with pytest.raises(DataError, match=r"items\.npy: damaged"):
        _all_of(moved)
    assert hashed == ["items.npy"]


def test_the_digest_is_of_what_is_there(prepared: Path) -> None:
    """Listing another array's hash changes the hash of the data set."""
    before = EncodedDataset.load(prepared).sha256
    items = np.load(prepared / "items.npy")
    np.save(prepared / "items.npy", items[::-1])
    digests.add_digests(prepared, ["items.npy"])
    assert EncodedDataset.load(prepared).sha256 != before


@pytest.mark.parametrize(
    "name", ["known_items.parquet", "known_users.parquet", "rows.json", "schema.json"]
)
def test_what_is_known_is_verified_apart_from_the_data_too(
    whole: tuple[Path, Any], tmp_path: Path, name: str
) -> None:
    known = FittedEncoder.load(whole[0])
    known.save(tmp_path)
    assert FittedEncoder.load(tmp_path).rows == known.rows
    path = tmp_path / name
    path.write_bytes(_flipped(path.read_bytes(), len(path.read_bytes()) // 2))
    with pytest.raises(DataError, match=rf"{name}: damaged"):
        FittedEncoder.load(tmp_path)

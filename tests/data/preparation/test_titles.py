"""Titles of items beside the prepared data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.titles import load_titles, save_titles
from metaselector.data.public.atomic import read_atomic


def test_titles_are_kept_and_change_nothing_else(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    raw = write_world(tmp_path / "raw")
    digests = []
    for name, heading in (("with", "movie_title"), ("without", "url")):
        items = raw / "ml-100k.item"
        items.write_text(items.read_text().replace("movie_title", heading))
        prepared = tmp_path / name
        prepared.mkdir()
        encode_to(read_atomic(raw, "ml-100k"), prepared)
        digests.append(EncodedDataset.load(prepared).digest())
    assert load_titles(tmp_path / "with") == {f"i{i}": f"Film {i}" for i in range(25)}
    assert load_titles(tmp_path / "without") == {}
    assert digests[0] == digests[1]


def test_items_without_a_title_have_none(tmp_path: Path) -> None:
    items = pd.DataFrame({"title": ["Heat", None]}, index=["a", "b"])
    save_titles(items, tmp_path)
    assert load_titles(tmp_path) == {"a": "Heat"}


@pytest.mark.parametrize("damage", ["garbage", "missing"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    save_titles(pd.DataFrame({"title": ["Heat"]}, index=["a"]), tmp_path)
    path = tmp_path / "titles.parquet"
    if damage == "garbage":
        path.write_bytes(b"PAR1")
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"titles\.parquet: (damaged|missing).* prepare` again"):
        load_titles(tmp_path)

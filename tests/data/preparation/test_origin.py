"""What is said of a copy, beside the prepared data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Origin
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.origin import load_origin
from metaselector.data.public.atomic import read_atomic

ORIGIN = Origin("Tiny (copy)", "It has no times.", true_times=False)


def test_the_origin_is_kept_and_changes_nothing_else(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    table = read_atomic(write_world(tmp_path / "raw"), "ml-100k")
    files, digests = [], []
    for name, origin in (("official", None), ("copy", ORIGIN)):
        prepared = tmp_path / name
        prepared.mkdir()
        encode_to(replace(table, origin=origin), prepared)
        assert load_origin(prepared) == origin
        digests.append(EncodedDataset.load(prepared).digest())
        files.append({path.name for path in prepared.iterdir()})
    assert digests[0] == digests[1]
    assert files[1] - files[0] == {"origin.json"}

    (tmp_path / "copy" / "origin.json").write_text("{}")
    with pytest.raises(DataError, match=r"origin\.json: damaged"):
        load_origin(tmp_path / "copy")
    (tmp_path / "copy" / "origin.json").unlink()
    with pytest.raises(DataError, match=r"origin\.json: missing"):
        load_origin(tmp_path / "copy")

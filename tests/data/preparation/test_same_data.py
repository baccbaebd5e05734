"""Prepared data are, bit for bit, those of version 2 of the format as first written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metaselector.data.encoded.digests import read_digests
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.parts import Settings
from metaselector.data.registry import read

SHOP = Path(__file__).parents[3] / "examples" / "shop"
DIGESTS: dict[str, str] = {
    "shop": "176d49007fa83ead",
    "movielens-100k": "7c084099731018ae",  # the atomic files
    "census-income": "28dba96ccbcec569",
    "movietweetings": "6d33e0d9f2ea04cb",
    "amazon-musical-instruments": "979e1e661b9a0047",
    "movielens-1m": "d7e07d8e6b13d9c1",
}
"""Of the arrays and the schema; made before DuckDB read any data."""


def digest(dataset: str, source: Path, folder: Path, **settings: Any) -> str:
    """One hash of the arrays and the schema that a data set prepares to."""
    encode_to(read(dataset, source), folder, Settings(**settings))
    found = {
        name: sum_
        for name, sum_ in read_digests(folder).items()
        if name.endswith(".npy") or name == "schema.json"
    }
    assert len(found) > 8
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()[:16]


def test_the_shop(tmp_path: Path) -> None:
    found = digest(str(SHOP / "shop.yaml"), SHOP / "ratings.csv", tmp_path)
    assert found == DIGESTS["shop"]


@pytest.mark.parametrize("name", ["movielens-100k", "census-income"])
def test_data_that_is_fetched(tmp_path: Path, fetched: Callable[[str], Path], name: str) -> None:
    source = fetched(name)
    if name == "movielens-100k" and not (source / "ml-100k.inter").exists():
        pytest.skip("needs the atomic files; the official ones have other columns")
    assert digest(name, source, tmp_path) == DIGESTS[name]


@pytest.mark.parametrize(
    ("name", "file", "settings"),
    [
        (
            "movietweetings",
            "movietweetings-142k.zip",
            {"label_threshold": 8.0, "min_user_rows": 20},
        ),
        (
            "amazon-musical-instruments",
            "reviews_Musical_Instruments_5.json.gz",
            {"drop_short_users": True},
        ),
        pytest.param("movielens-1m", "ml-1m-reconstructed.zip", {}, marks=pytest.mark.slow),
    ],
)
def test_public_data(
    tmp_path: Path, real_data: Path, name: str, file: str, settings: dict[str, Any]
) -> None:
    assert digest(name, real_data / file, tmp_path, **settings) == DIGESTS[name]

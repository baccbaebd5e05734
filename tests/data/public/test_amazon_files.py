"""Which files of a directory are read as reviews and metadata."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.registry import read

REVIEW = {"reviewerID": "ann", "asin": "pen", "overall": 5.0, "unixReviewTime": 1_393_545_600}
META = "{'asin': 'pen', 'categories': [['Shop']]}\n"
REAL = "reviews_Musical_Instruments_5.json.gz"


def put(directory: Path, *names: str) -> None:
    for name in names:
        text = META if name.startswith("meta_") else json.dumps(REVIEW) + "\n"
        (directory / name).write_text("{}" if name == "manifest.json" else text)


@pytest.mark.parametrize("dataset", ["amazon", "amazon-electronics"])
@pytest.mark.parametrize(
    "name",
    [
        "reviews_Electronics_5.json.gz",
        "reviews_Electronics.json",
        "Electronics_5.json.gz",
        "Electronics.jsonl.gz",
        "Electronics.jsonl",
    ],
)
def test_a_file_or_its_directory(tmp_path: Path, dataset: str, name: str) -> None:
    put(tmp_path, name, "manifest.json", "README.md")
    for path in (tmp_path, tmp_path / name):
        table = read(dataset, path)
        assert (table.name, table.source) == (dataset, tmp_path / name)
        assert len(table.interactions) == 1
        assert list(table.items) == []


def test_a_directory_brings_the_metadata_too(tmp_path: Path) -> None:
    put(tmp_path, "reviews_Electronics_5.json.gz", "meta_Electronics.json.gz", "meta_Books.json.gz")
    assert read("amazon-electronics", tmp_path).items["categories"]["pen"] == ("Shop",)
    alone = tmp_path / "reviews_Electronics_5.json.gz"
    assert list(read("amazon-electronics", alone).items) == []


def test_a_name_chooses_among_several(tmp_path: Path) -> None:
    put(tmp_path, "reviews_Electronics_5.json.gz", "reviews_Musical_Instruments_5.json.gz")
    table = read("amazon-musical-instruments", tmp_path)
    assert table.source.name == "reviews_Musical_Instruments_5.json.gz"
    with pytest.raises(DataError, match=r"several files of reviews \(reviews_Electronics_5.json"):
        read("amazon", tmp_path)


def test_several_of_the_same(tmp_path: Path) -> None:
    put(tmp_path, "Electronics_5.json", "Electronics_5.json.gz")
    with pytest.raises(DataError, match=r"several files of reviews .* give the path of one"):
        read("amazon-electronics", tmp_path)
    (tmp_path / "Electronics_5.json").unlink()
    put(tmp_path, "meta_Electronics.json", "meta_Electronics.json.gz")
    with pytest.raises(DataError, match=r"several files of metadata .* remove all but one"):
        read("amazon-electronics", tmp_path)


def test_none(tmp_path: Path) -> None:
    put(tmp_path, "meta_Electronics.json.gz", "reviews_Books_5.json.gz")
    with pytest.raises(DataError) as error:
        read("amazon-electronics", tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: no file of reviews found here; expected "
        "reviews_Electronics_5.json.gz, with meta_Electronics.json.gz beside it for categories"
    )
    with pytest.raises(DataError, match="file or directory not found; expected reviews_<cat"):
        read("amazon", tmp_path / "absent")


def test_the_real_musical_instruments(real_data: Path) -> None:
    table = read("amazon-musical-instruments", real_data / REAL)
    rows = table.interactions
    assert len(rows) == 10_261
    assert rows["user"].nunique() == 1_429
    assert rows["item"].nunique() == 900
    counts = rows["rating"].value_counts().to_dict()
    assert counts == {5.0: 6938, 4.0: 2084, 3.0: 772, 2.0: 250, 1.0: 217}
    assert table.repairs == []

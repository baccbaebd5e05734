"""The long table, in memory and on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Schema
from metaselector.evaluate.predictions import (
    COLUMNS,
    load_predictions,
    long_table,
    save_predictions,
)


@pytest.fixture
def dataset() -> EncodedDataset:
    return EncodedDataset.of_rows(
        Schema(
            dataset="tiny", label_threshold=4, history_length=1, windows=(60, 80, 90), fields=()
        ),
        cells=np.zeros((5, 0), dtype=np.int32),
        labels=np.array([1, 0, 1, 1, 0], dtype=np.float32),
        source_rows=np.array([30, 10, 20, 50, 40]),
        user_offsets=np.array([0, 2, 2, 5]),
        user_names=("ann", "bob", "cy"),
    )


@pytest.fixture
def table(dataset: EncodedDataset) -> pd.DataFrame:
    return long_table(3, "fm", dataset, np.array([4, 1]), np.array([0.25, 1], dtype=np.float32))


def test_long_table(table: pd.DataFrame) -> None:
    assert tuple(table.columns) == COLUMNS
    assert [str(dtype) for dtype in table.dtypes] == [
        "int64", "str", "str", "int64", "str", "float32", "float64",
    ]  # fmt: skip
    assert table.to_numpy().tolist() == [
        [3, "fm", "cy", 40, "label", 0.0, 0.25],
        [3, "fm", "ann", 10, "label", 0.0, 1.0],
    ]


@pytest.mark.parametrize("p", [[0.5], [0.5, 1.5], [np.nan, 0.5]])
def test_long_table_refuses_what_is_no_probability(dataset: EncodedDataset, p: list[float]) -> None:
    with pytest.raises(ValueError, match=r"^fm: "):
        long_table(3, "fm", dataset, np.array([4, 1]), p)


def test_file_gives_back_what_was_saved(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "run" / "predictions.parquet"
    save_predictions(table, path)
    pd.testing.assert_frame_equal(load_predictions(path), table)
    assert [entry.name for entry in path.parent.iterdir()] == ["predictions.parquet"]
    metadata = parquet.ParquetFile(path).metadata
    codecs = {metadata.row_group(0).column(i).compression for i in range(len(COLUMNS))}
    assert codecs == {"ZSTD"}


def test_reads_what_pandas_wrote(table: pd.DataFrame, tmp_path: Path) -> None:
    table.assign(note="more columns are fine").to_parquet(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(load_predictions(tmp_path / "p.parquet"), table)


Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="p"), r"\(column p\): column is missing"),
        (
            lambda table: table.astype({"p": "float32"}),
            r"\(column p\): has type float, expected",
        ),
        (
            lambda table: table.astype({"row": "str"}),
            r"\(column row\): has type .* int64",
        ),
        (lambda table: table.assign(p=[0.5, np.nan]), r"\(column p\): 1 values are"),
        (lambda table: table.assign(p=[0.5, 1.1]), "0, 1\\], the first in record 2"),
        (
            lambda table: table.assign(y=np.array([2, 0], dtype=np.float32)),
            "neither 0 nor 1, the first in record 1",
        ),
        (
            lambda table: table.assign(user=pd.array(["a", None], dtype="str")),
            r"\(column user\): 1 values are empty",
        ),
    ],
)
def test_names_what_is_wrong_in_a_file(
    table: pd.DataFrame, tmp_path: Path, change: Change, message: str
) -> None:
    path = tmp_path / "p.parquet"
    change(table).to_parquet(path)
    with pytest.raises(DataError, match=message) as caught:
        load_predictions(path)
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(DataError, match="file not found"):
        load_predictions(path)
    save_predictions(table, path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        load_predictions(path)

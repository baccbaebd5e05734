"""The weights of selectors are written and read a piece at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.evaluate import selector_weights
from metaselector.evaluate.selector_weights import SelectorWeights, by_selector, save_weights

NAMES = ("lr", "fm", "NA")


def of_seed(seed: int, rows: int = 20) -> SelectorWeights:
    rng = np.random.default_rng(seed)
    users = np.array([f"user {n}" for n in rng.integers(4, size=rows)], dtype=object)
    of = {m: rng.random((rows, 3)).astype(np.float32) for m in ("sample-selector", "metaselector")}
    return SelectorWeights(seed, users, np.arange(rows) * 2, of)


def long(weights: SelectorWeights, model: str) -> pd.DataFrame:
    lines = [
        (weights.seed, model, user, row, name, value)
        for user, row, values in zip(weights.users, weights.rows, weights.of[model], strict=True)
        for name, value in zip(NAMES, values, strict=True)
    ]
    return pd.DataFrame(lines, columns=selector_weights.SCHEMA.names)


@pytest.mark.parametrize("piece", [1, 8, 100, 10_000])
def test_selectors_come_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(selector_weights, "PIECE", piece)
    monkeypatch.setattr("metaselector.evaluate.predictions.PIECE", piece)
    seeds = [of_seed(0), of_seed(5)]
    save_weights(tmp_path / "weights.parquet", seeds, NAMES)
    expected = [long(of, model) for of in seeds for model in of.of]
    found = [*by_selector(tmp_path / "weights.parquet")]
    assert len(found) == len(expected) == 4
    for mine, theirs in zip(found, expected, strict=True):
        assert isinstance(mine["model"].dtype, pd.CategoricalDtype)
        mine = mine.astype({"model": "str", "user": "str", "base_model": "str"})
        pd.testing.assert_frame_equal(mine, theirs, check_dtype=False)
    whole = pd.read_parquet(tmp_path / "weights.parquet")
    pd.testing.assert_frame_equal(whole, pd.concat(expected, ignore_index=True), check_dtype=False)


def test_a_missing_or_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "weights.parquet"
    with pytest.raises(DataError, match="file not found"):
        next(by_selector(path))
    path.write_text("no Parquet")
    with pytest.raises(DataError, match="cannot be read"):
        next(by_selector(path))
    pd.DataFrame({"seed": [0]}).to_parquet(path)
    with pytest.raises(DataError, match="column is missing"):
        next(by_selector(path))

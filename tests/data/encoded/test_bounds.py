"""Prepared data with valid hashes but invalid indices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded import bounds
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.digests import add_digests
from metaselector.data.encoded.schema import Field
from metaselector.data.preparation.encode import encode

ROWS = [
    (user, f"i{1 + (row + place) % 4}", 1.0 + (row * place) % 5, row)
    for place, user in enumerate(("ann", "bob"), start=2)
    for row in range(12)
]


@pytest.fixture(scope="module")
def dataset(make_table: Callable[..., Any]) -> EncodedDataset:
    return encode(make_table(ROWS))


@pytest.mark.parametrize("together", [1, 2**18])
@pytest.mark.parametrize("value", [-1, 10_000])
@pytest.mark.parametrize(
    "name",
    [
        "user_offsets",
        "liked_offsets",
        "items",
        "liked",
        "user_cells",
        "item_cells",
        "history_sizes",
    ],
)
def test_what_points_nowhere_is_refused(
    dataset: EncodedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: int,
    together: int,
) -> None:
    monkeypatch.setattr(bounds, "_ROWS", together)
    dataset.save(tmp_path / "data")
    path = tmp_path / "data" / f"{name}.npy"
    array = np.load(path)
    array.flat[1] = value
    np.save(path, array)
    add_digests(path.parent, [path.name])
    with pytest.raises(DataError, match=rf"{name}\.npy: contains .*prepare` again"):
        EncodedDataset.load(path.parent)


@pytest.mark.parametrize("number", [1e30, -1e30])
def test_the_bits_of_a_number_are_not_checked_as_an_id(
    number: float, tmp_path: Path, make_dataset: Any
) -> None:

    made = make_dataset([3, 5])
    numeric = Field(name="price", kind="numeric", slots=1, first_id=9, vocabulary=("(number)",))
    schema = made.schema.model_copy(update={"fields": (*made.schema.fields, numeric)})
    bits = np.full((len(made), 1), number, dtype=np.float32).view(np.int32)
    cells = np.concatenate([made.cells, bits], axis=1)
    EncodedDataset.of_rows(schema, cells, made.labels, made.user_offsets, made.user_names).save(
        tmp_path / "data"
    )
    assert EncodedDataset.load(tmp_path / "data").batch(np.array([0])).values[0, 1] == np.float32(
        number
    )

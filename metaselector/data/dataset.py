"""An encoded data set in memory and on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.data.batch import Batch
from metaselector.data.schema import Schema
from metaselector.errors import DataError
from metaselector.files import atomic_directory

_ARRAYS = {
    "ids": np.int32,
    "values": np.float32,
    "labels": np.float32,
    "timestamps": np.int64,
    "source_rows": np.int64,
    "user_offsets": np.int64,
}


@dataclass(frozen=True)
class EncodedDataset:
    """Rows sorted by (user, timestamp, original order), so that a user's rows are one slice.

    Attributes:
        schema: what the ids mean.
        ids: int32 ``[N, C]``.
        values: float32 ``[N, C]``.
        labels: float32 ``[N]``, 0 or 1.
        timestamps: int64 ``[N]``, seconds since 1970 UTC.
        source_rows: int64 ``[N]``, position of the row in the file it came from.
        user_offsets: int64 ``[n_users + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        user_names: the users as they are called in the file.
    """

    schema: Schema
    ids: NDArray[np.int32]
    values: NDArray[np.float32]
    labels: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    source_rows: NDArray[np.int64]
    user_offsets: NDArray[np.int64]
    user_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_users(self) -> int:
        return len(self.user_offsets) - 1

    @property
    def users(self) -> NDArray[np.int64]:
        """User index of every row, int64 ``[N]``."""
        return np.repeat(np.arange(self.num_users), np.diff(self.user_offsets))

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        """The given rows as a batch; `rows` of any shape ``[...]`` gives slots ``[..., C]``."""
        return Batch(
            torch.from_numpy(np.asarray(self.ids[rows])).long(),
            torch.from_numpy(np.asarray(self.values[rows])),
        )

    def label(self, rows: NDArray[np.int64]) -> Tensor:
        """float32 labels of the given rows, in the shape of `rows`."""
        return torch.from_numpy(np.asarray(self.labels[rows]))

    def digest(self) -> str:
        """SHA-256 of the schema and of every array."""
        sha = hashlib.sha256(self.schema.model_dump_json().encode())
        for name in _ARRAYS:
            sha.update(np.ascontiguousarray(getattr(self, name)).data)
        return sha.hexdigest()

    def save(self, directory: Path) -> None:
        """Write the schema as JSON and the arrays as ``.npy``, all or nothing."""
        with atomic_directory(directory) as target:
            for name in _ARRAYS:
                np.save(target / f"{name}.npy", getattr(self, name), allow_pickle=False)
            (target / "users.json").write_text(json.dumps(self.user_names), encoding="utf-8")
            (target / "schema.json").write_text(
                self.schema.model_dump_json(indent=1), encoding="utf-8"
            )

    @classmethod
    def load(cls, directory: Path) -> EncodedDataset:
        """Open a saved data set; arrays are memory-mapped, read-only.

        Raises:
            DataError: a file is missing, truncated, or of the wrong type.
        """
        schema = Schema.load(directory / "schema.json")
        arrays = {name: _open(directory / f"{name}.npy", dtype) for name, dtype in _ARRAYS.items()}
        try:
            names = tuple(json.loads((directory / "users.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            problem = f"missing or damaged ({error}); run `metaselector data prepare` again"
            raise DataError(directory / "users.json", problem) from error
        n = len(arrays["labels"])
        shapes = dict.fromkeys(_ARRAYS, (n,)) | dict.fromkeys(
            ("ids", "values"), (n, schema.num_slots)
        )
        shapes["user_offsets"] = (len(names) + 1,)
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise DataError(
                    directory / f"{name}.npy",
                    f"shape {arrays[name].shape} does not match schema, labels and users {shape}; "
                    "run `metaselector data prepare` again",
                )
        return cls(schema=schema, user_names=names, **arrays)


def _open(path: Path, dtype: type) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            path, f"missing or damaged ({error}); run `metaselector data prepare` again"
        ) from error
    if array.dtype != dtype:
        raise DataError(path, f"holds {array.dtype}, expected {np.dtype(dtype)}")
    return array

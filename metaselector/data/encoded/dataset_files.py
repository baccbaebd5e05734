"""The files of an encoded data set: their arrays, written piece by piece and opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.encoded.array_file import ArrayFile, open_array
from metaselector.data.encoded.digests import MEND, write_digests
from metaselector.data.encoded.schema import OWNERS, VERSION, Schema
from metaselector.data.microseconds import SECOND

SCHEMA, USERS = "schema.json", "users.json"
IN_SECONDS = "timestamps in seconds"
"""Name of the digest of times in seconds, listed if all are whole seconds."""
ARRAYS: dict[str, type] = {
    "task_labels": np.float32,
    "timestamps": np.int64,
    "source_rows": np.int64,
    "user_offsets": np.int64,
    "items": np.int32,
    "cells": np.int32,
    "user_cells": np.int32,
    "item_cells": np.int32,
    "liked": np.int32,
    "liked_offsets": np.int64,
    "history_sizes": np.int32,
    "profiles": np.float32,
}

LIST_OFFSETS = "list_offsets"
"""A further array, of data with lists."""


def arrays_of(schema: Schema) -> dict[str, type]:
    """The arrays of a data set with this schema, and their types."""
    return ARRAYS | ({LIST_OFFSETS: np.int64} if schema.lists else {})


class Writer:
    """Writes a data set into a directory piece by piece.

    Use it as a context manager; the data set is complete after :meth:`finish`.
    """

    def __init__(self, directory: Path, schema: Schema) -> None:
        self._directory = directory
        self._schema = schema.model_copy(update={"version": VERSION})
        self._open = ExitStack()
        self._files: dict[str, ArrayFile] = {}
        self._seconds: Any = hashlib.sha256()

    def append(self, name: str, rows: NDArray[Any]) -> None:
        """Append rows to one of the arrays of :class:`EncodedDataset`, cast to its type."""
        if name not in self._files:
            row = shapes(self._schema, 0, 0, 0, 0)[name][1:]
            path = self._directory / f"{name}.npy"
            dtype = arrays_of(self._schema)[name]
            self._files[name] = self._open.enter_context(ArrayFile(path, dtype, row))
        self._files[name].append(rows)
        if name == "timestamps" and self._seconds is not None:
            seconds, fractions = np.divmod(np.asarray(rows, dtype=np.int64), SECOND)
            self._seconds.update(seconds.data)
            if fractions.any():
                self._seconds = None

    def finish(self, user_names: Sequence[str]) -> None:
        """Complete the files; arrays without rows must have been appended as empty ones."""
        self._open.close()
        texts = {
            SCHEMA: self._schema.model_dump_json(indent=1, exclude_none=True).encode(),
            USERS: json.dumps(list(user_names)).encode(),
        }
        for name, text in texts.items():
            (self._directory / name).write_bytes(text)
        digests = {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
        digests |= {f"{name}.npy": self._files[name].sha256 for name in arrays_of(self._schema)}
        if self._seconds is not None:
            digests[IN_SECONDS] = self._seconds.hexdigest()
        write_digests(self._directory, digests)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)


def shapes(
    schema: Schema, n: int, users: int, items: int, liked: int, lists: int = 0
) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays, given the numbers of rows, users, items, positives and lists."""
    width = {owner: sum(field.slots for field in schema.fields_of(owner)) for owner in OWNERS}
    profiles = sum(f.slots for f in schema.fields_of("history") if f.kind == "profile")
    return dict.fromkeys(arrays_of(schema), (n,)) | {
        **({LIST_OFFSETS: (lists + 1,)} if schema.lists else {}),
        "task_labels": (n, len(schema.tasks)),
        "user_offsets": (users + 1,),
        "cells": (n, width["row"]),
        "user_cells": (users, width["user"]),
        "item_cells": (items, width["item"]),
        "liked": (liked,),
        "liked_offsets": (users + 1,),
        "profiles": (liked + users, profiles),
    }


def open_arrays(directory: Path, schema: Schema, users: int) -> dict[str, NDArray[Any]]:
    """Memory-map all arrays, read-only, by name.

    Args:
        users: how many there are, whom another file names.

    Raises:
        DataError: a file is missing or damaged, or has another type or shape than the others say.
    """
    arrays = {}
    for name, dtype in arrays_of(schema).items():
        path = directory / f"{name}.npy"
        arrays[name], _ = open_array(path)
        if arrays[name].dtype != dtype:
            found = arrays[name].dtype
            raise DataError(path, f"contains {found}, expected {np.dtype(dtype)}; {MEND}")
    n, items, liked = (len(arrays[name]) for name in ("timestamps", "item_cells", "liked"))
    lists = len(arrays[LIST_OFFSETS]) - 1 if schema.lists else 0
    for name, shape in shapes(schema, n, users, items, liked, lists).items():
        if arrays[name].shape != shape:
            raise DataError(
                directory / f"{name}.npy",
                f"shape {arrays[name].shape} does not match the other files {shape}; {MEND}",
            )
    return arrays


def identity(schema: Schema, user_names: Sequence[str], digests: Mapping[str, str]) -> str:
    """SHA-256 of a data set, computed from its schema, users and the SHA-256 of its arrays.

    Other files beside them do not count. Data with whole seconds keep the identity they had in
    version 2, which stored seconds, so their checkpoints and published numbers stay valid.
    """
    before = schema.model_copy(update={"version": 2})
    text = before.model_dump_json(indent=1, exclude_none=True) + json.dumps(list(user_names))
    sha = hashlib.sha256(text.encode())
    for name in arrays_of(schema):
        digest = digests[f"{name}.npy"]
        if name == "timestamps":
            digest = digests.get(IN_SECONDS, digest)
        sha.update(f"{name} {digest}".encode())
    return sha.hexdigest()


def read_names(path: Path) -> list[str]:
    """Read the users' names; raises :class:`DataError` if they are missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(path, f"missing or damaged ({error}); {MEND}") from error
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise DataError(path, f"damaged (not a list of names); {MEND}")
    return found

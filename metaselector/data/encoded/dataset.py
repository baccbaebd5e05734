"""The encoded data set, in memory and on disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.common.errors import DataError
from metaselector.common.files import atomic_directory
from metaselector.common.leftovers import recover
from metaselector.data.encoded.array_file import Pages
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.bounds import check_bounds
from metaselector.data.encoded.dataset_files import (
    ARRAYS,
    LIST_OFFSETS,
    SCHEMA,
    USERS,
    Writer,
    arrays_of,
    identity,
    open_arrays,
    read_names,
)
from metaselector.data.encoded.digests import MEND, check_digests
from metaselector.data.encoded.schema import VERSION, Schema
from metaselector.data.encoded.slots import SlotLayout, Slots
from metaselector.data.microseconds import SECOND

WHOLE_SLOTS = 2**24
"""Maximum slots, 128 MiB, of a data set whose rows are all assembled in advance."""
_FILES = (SCHEMA, USERS, *(f"{name}.npy" for name in ARRAYS))


@dataclass(frozen=True)
class EncodedDataset:
    """Rows sorted by (user, timestamp, original order), so that a user's rows are one slice.

    Cells of users and items are stored once per user and item, and a row's history is a view into
    its user's positives; :meth:`batch` assembles the slots of rows. A cell is an int32 per slot, as
    in :mod:`metaselector.data.preparation.fields`.

    Attributes:
        schema: the fields and the meaning of ids.
        task_labels: float32 ``[N, T]``: 0, 1, or nan if not observed. The first task is observed in
            every row; histories and profiles consist of its positives.
        timestamps: int64 ``[N]``, microseconds since 1970 UTC; in tabular data the number of the
            row.
        source_rows: int64 ``[N]``, position of the row in its file.
        user_offsets: int64 ``[U + 1]``; user u owns rows ``offsets[u]:offsets[u + 1]``.
        user_names: names of the users in the file.
        cells: int32 ``[N, C_row]``, cells of the rows' own fields.
        items: int32 ``[N]``, index of the row's item.
        user_cells, item_cells: int32 ``[U, C_user]`` and ``[I, C_item]``.
        liked: int32 ``[P]``, ids of positives in the history field, by user, oldest first.
        liked_offsets: int64 ``[U + 1]``, start of each user's positives in `liked`.
        history_sizes: int32 ``[N]``, number of its user's positives in the row's history.
        profiles: float32 ``[P + U, G]``; row ``liked_offsets[u] + u + k`` is the profile of user u
            after k positives.
        list_offsets: int64 ``[L + 1]``; rows ``offsets[l]:offsets[l + 1]`` of one user and time
            were shown together, as list l. None if rows belong to no lists.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 5, 4, np.random.default_rng(0)).dataset
        >>> dataset.num_users, dataset.user_offsets.tolist()
        (4, [0, 5, 10, 15, 20])
    """

    schema: Schema
    task_labels: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    source_rows: NDArray[np.int64]
    user_offsets: NDArray[np.int64]
    user_names: tuple[str, ...]
    cells: NDArray[np.int32]
    items: NDArray[np.int32]
    user_cells: NDArray[np.int32]
    item_cells: NDArray[np.int32]
    liked: NDArray[np.int32]
    liked_offsets: NDArray[np.int64]
    history_sizes: NDArray[np.int32]
    profiles: NDArray[np.float32]
    list_offsets: NDArray[np.int64] | None = None
    sha256: str = dataclass_field(default="", compare=False)
    """SHA-256 of a saved data set, verified by :meth:`load`."""
    scores: NDArray[np.float32] | None = dataclass_field(default=None, compare=False)
    """Logits ``[N, P]`` of P precomputed models, not saved with the data set. A run adds those of
    estimators when it loads them."""

    @classmethod
    def of_rows(
        cls,
        schema: Schema,
        cells: NDArray[np.int32],
        labels: NDArray[np.float32],
        user_offsets: NDArray[np.int64],
        user_names: tuple[str, ...],
        source_rows: NDArray[np.int64] | None = None,
    ) -> Self:
        """Build a data set whose fields all belong to rows, with one row per second.

        Args:
            schema: the fields.
            cells: int32 ``[N, C]``.
            labels: float32 ``[N]``.
            user_offsets: int64 ``[U + 1]``.
            user_names: names of the users.
            source_rows: int64 ``[N]``; by default the row numbers.
        """
        n, users = len(cells), len(user_names)
        return cls(
            schema=schema,
            task_labels=labels[:, None],
            timestamps=np.arange(n, dtype=np.int64) * SECOND,
            source_rows=np.arange(n) if source_rows is None else source_rows,
            user_offsets=user_offsets,
            user_names=user_names,
            cells=cells,
            items=np.zeros(n, dtype=np.int32),
            user_cells=np.zeros((users, 0), dtype=np.int32),
            item_cells=np.zeros((1, 0), dtype=np.int32),
            liked=np.zeros(0, dtype=np.int32),
            liked_offsets=np.zeros(users + 1, dtype=np.int64),
            history_sizes=np.zeros(n, dtype=np.int32),
            profiles=np.zeros((users, 0), dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.task_labels)

    @property
    def as_predicted(self) -> EncodedDataset:
        """The same rows, without what rows to predict lack: fields ``unknown_at_prediction``."""
        return self._masked if self.schema.unknown_at_prediction else self

    @cached_property
    def _masked(self) -> EncodedDataset:
        cells, slot = np.array(self.cells), 0
        for field in self.schema.fields_of("row"):
            if field.name in (self.schema.unknown_at_prediction or ()):
                cells[:, slot] = field.first_id
            slot += field.slots
        return replace(self, cells=cells)

    @property
    def num_users(self) -> int:
        return len(self.user_offsets) - 1

    @property
    def users(self) -> NDArray[np.int64]:
        """User index of every row, int64 ``[N]``."""
        return np.repeat(np.arange(self.num_users), np.diff(self.user_offsets))

    @property
    def labels(self) -> NDArray[np.float32]:
        """Labels of the first task, 0 or 1, float32 ``[N]``."""
        return self.task_labels[:, 0]

    @cached_property
    def _layout(self) -> SlotLayout:
        return SlotLayout(self.schema)

    @cached_property
    def _pages(self) -> Pages:
        return Pages([getattr(self, name) for name in arrays_of(self.schema)])

    @cached_property
    def _whole(self) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """Slots of all rows, if few enough; indexing them is several times faster."""
        if len(self) * self.schema.num_slots > WHOLE_SLOTS:
            return None
        ids, values = self._assembled(np.arange(len(self)))
        return ids.numpy().astype(np.int32), values.numpy()

    def batch(
        self, rows: NDArray[np.int64], history_limits: NDArray[np.int64] | None = None
    ) -> Batch:
        """Assemble the given rows as a batch; `rows` of shape ``[...]`` give slots ``[..., C]``.

        Args:
            rows: int64 ``[...]``.
            history_limits: int64 ``[...]``, number of its user's first positives that the row's
                history may show; None leaves histories as encoded.
        """
        if history_limits is not None or self._whole is None:
            return self._assembled(np.asarray(rows), history_limits)
        ids, values = self._whole
        return Batch(torch.from_numpy(ids[rows]).long(), torch.from_numpy(values[rows]))

    def scored_batch(
        self, rows: NDArray[np.int64], history_limits: NDArray[np.int64] | None = None
    ) -> Batch:
        """Like :meth:`batch`, with the P scores as last slots, of id 0: ``[..., C + P]``."""
        batch = self.batch(rows, history_limits)
        if self.scores is None:
            return batch
        values = torch.from_numpy(self.scores[rows])
        ids = torch.zeros(values.shape, dtype=torch.int64)
        return Batch(torch.cat([batch.ids, ids], -1), torch.cat([batch.values, values], -1))

    def _assembled(
        self, rows: NDArray[np.int64], history_limits: NDArray[np.int64] | None = None
    ) -> Batch:
        flat = rows.ravel()
        user = np.searchsorted(self.user_offsets, flat, side="right") - 1
        slots = Slots(len(flat), self._layout)
        slots.put("user", self.user_cells[user])
        slots.put("item", self.item_cells[self.items[flat]])
        offset, size = self.liked_offsets[user], self.history_sizes[flat]
        if history_limits is not None:
            size = np.minimum(size, history_limits.ravel()).astype(size.dtype)
        slots.put_history(self.liked, offset, size)
        slots.put_profiles(self.profiles[offset + user + size])
        slots.put("row", self.cells[flat])
        self._pages.read(rows.shape)
        return slots.batch(rows.shape)

    def label(self, rows: NDArray[np.int64]) -> Tensor:
        """Labels of the given rows ``[...]``, float32.

        Their shape is ``[...]`` for a single task, and ``[..., T]`` for several, with nan if a task
        was not observed.
        """
        several = len(self.schema.tasks) > 1
        return torch.from_numpy(np.asarray((self.task_labels if several else self.labels)[rows]))

    def digest(self) -> str:
        """SHA-256 of the schema, the users' names and every array."""
        if self.sha256:
            return self.sha256
        with tempfile.TemporaryDirectory(prefix="metaselector-") as directory:
            self.save(Path(directory) / "data")
            return type(self).load(Path(directory) / "data").sha256

    def in_memory(self) -> Self:
        """Copy all arrays into memory, independent of files."""
        names = arrays_of(self.schema)
        copies: dict[str, Any] = {name: np.array(getattr(self, name)) for name in names}
        return replace(self, **copies)

    def save(self, directory: Path) -> None:
        """Write the schema as JSON and the arrays as ``.npy``, atomically."""
        with atomic_directory(directory) as target, Writer(target, self.schema) as writer:
            for name in arrays_of(self.schema):
                writer.append(name, getattr(self, name))
            writer.finish(self.user_names)

    @classmethod
    def load(cls, directory: Path, *, verify: bool = True) -> Self:
        """Open a saved data set; arrays are memory-mapped, read-only.

        All files are read once per process to verify their SHA-256.

        Args:
            directory: directory of the data set.
            verify: whether to verify; unnecessary if this process has just written the data set.

        Raises:
            DataError: a file is missing, was changed, or does not match the others.
        """
        if not (directory / SCHEMA).exists():
            recover(directory)
            Schema.load(directory / SCHEMA)  # raises if there is nothing
        digests, is_new = check_digests(directory, _FILES if verify else ())
        schema = Schema.load(directory / SCHEMA)
        if schema.version < VERSION:
            problem = f"prepared by a version that truncated times to whole seconds; {MEND}"
            raise DataError(directory / SCHEMA, problem)
        names = tuple(read_names(directory / USERS))
        if schema.lists and verify:
            is_new |= check_digests(directory, (f"{LIST_OFFSETS}.npy",))[1]
        arrays = open_arrays(directory, schema, len(names))
        if is_new:
            check_bounds(directory, schema, arrays)
        return cls(
            schema=schema, user_names=names, sha256=identity(schema, names, digests), **arrays
        )

"""Assemble the cells of rows into slots of a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.history import latest
from metaselector.data.encoded.schema import OWNERS, PADDING_ID, Field, Owner, Schema


class _Place(NamedTuple):
    """Slots of a field, and the shares 1/n of n words for every n up to their number."""

    field: Field
    slots: slice
    shares: NDArray[np.float32]


class SlotLayout:
    """The slots of each field of a schema."""

    def __init__(self, schema: Schema) -> None:
        self.num_slots = schema.num_slots
        self.places: dict[Owner, list[_Place]] = {owner: [] for owner in OWNERS}
        start = 0
        for field in schema.fields:
            shares = np.zeros(field.slots + 1, dtype=np.float32)
            shares[1:] = 1 / np.arange(1, field.slots + 1)
            place = _Place(field, slice(start, start + field.slots), shares)
            self.places[field.of].append(place)
            start += field.slots


class Slots:
    """Ids and values of `n` rows, filled owner by owner."""

    def __init__(self, n: int, layout: SlotLayout) -> None:
        self._places = layout.places
        self._ids = np.empty((n, layout.num_slots), dtype=np.int64)
        self._values = np.ones((n, layout.num_slots), dtype=np.float32)

    def put(self, owner: Owner, cells: NDArray[np.int32]) -> None:
        """Fill the fields of an owner from its cells ``[n, slots]``."""
        places = self._places[owner]
        if not places:
            return
        start = places[0].slots.start
        self._ids[:, start : start + cells.shape[1]] = cells
        for field, slots, shares in places:
            if field.kind == "numeric":
                number = cells[:, slots.start - start].copy().view(np.float32)
                missing = np.isnan(number)
                self._values[:, slots.start] = np.where(missing, np.float32(1), number)
                self._ids[:, slots.start] = field.first_id + ~missing
            elif field.kind == "multivalued":
                present = self._ids[:, slots] != PADDING_ID
                count = np.count_nonzero(present, axis=1)
                self._values[:, slots] = present * shares[count, None]

    def put_history(
        self, liked: NDArray[np.int32], offset: NDArray[np.int64], size: NDArray[np.int32]
    ) -> None:
        """Fill the history with the latest positives, newest first.

        Args:
            liked: int32 ``[P]``, ids of all users' positives.
            offset: int64 ``[n]``, start of the positives of each row's user.
            size: int32 ``[n]``, number of them in the row's history.
        """
        for field, slots, shares in self._places["history"]:
            if field.kind == "sequence" and len(liked):
                where = latest(offset, size, field.slots)
                present = where >= 0
                np.multiply(liked[where], present, out=self._ids[:, slots])
                share = shares[np.minimum(size, field.slots), None]
                np.multiply(present, share, out=self._values[:, slots])
            elif field.kind == "sequence":
                self._ids[:, slots], self._values[:, slots] = PADDING_ID, 0

    def put_profiles(self, shares: NDArray[np.float32]) -> None:
        """Fill the profiles with shares ``[n, G]``; a share of 0 is padding."""
        column = 0
        for field, slots, _ in self._places["history"]:
            if field.kind == "profile":
                values = shares[:, column : column + field.slots]
                ids = np.arange(field.first_id + 1, field.first_id + field.num_ids)
                np.multiply(values > 0, ids, out=self._ids[:, slots])
                self._values[:, slots] = values
                column += field.slots

    def batch(self, shape: tuple[int, ...]) -> Batch:
        """Return the rows in the given shape."""
        ids, values = torch.from_numpy(self._ids), torch.from_numpy(self._values)
        return Batch(ids.view(*shape, ids.shape[1]), values.view(*shape, ids.shape[1]))

"""Where the rows of a table are: all in this process, unless its type says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from metaselector.adapt.touched import take_rows


class Storage(Protocol):
    """What has to be known of tables of one type."""

    def take(self, tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """``table[rows]`` of all of them, for distinct ascending ids `rows`, int64 ``[n]``.

        Differentiable once; a table's gradient is sparse, of the table's whole shape.
        """

    def here(self, table: Tensor) -> tuple[Tensor, int]:
        """The rows that this process holds, to be changed in place, and the id of the first."""


class _Here:
    def take(self, tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        return {name: take_rows(table, rows) for name, table in tables.items()}

    def here(self, table: Tensor) -> tuple[Tensor, int]:
        return table, 0


_HERE = _Here()
_ELSEWHERE: dict[type[Tensor], Storage] = {}


def register_storage(table_type: type[Tensor], storage: Storage) -> None:
    """Let `storage` take and show the rows of tables that are exactly a `table_type`."""
    _ELSEWHERE[table_type] = storage


def storage_of(table: Tensor) -> Storage:
    """Who knows where the rows of `table` are."""
    return _ELSEWHERE.get(type(table), _HERE)


def take_tables(tables: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    """``table[rows]`` of every table by its storage, which sees all of its tables at once."""
    by_storage: dict[Storage, dict[str, Tensor]] = {}
    for name, table in tables.items():
        by_storage.setdefault(storage_of(table), {})[name] = table
    taken = [storage.take(some, rows) for storage, some in by_storage.items()]
    return {name: table for some in taken for name, table in some.items()}

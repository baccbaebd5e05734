"""DuckDB, which runs the queries of schemas and takes JSON apart."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

MEMORY = "1GB"
"""Memory of a query; what does not fit goes to temporary files."""


@contextmanager
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database in memory.

    It uses one thread, so that a query without an order has the same one every time, and neither
    downloads nor loads extensions by itself.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": MEMORY,
        # DuckDB creates it when it needs it, and removes it.
        "temp_directory": str(Path(tempfile.gettempdir()) / f"metaselector-{uuid.uuid4()}"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    with duckdb.connect(config=settings) as connection:
        yield connection


def literal(text: str) -> str:
    """Quote text for SQL.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"

"""DuckDB, which runs the queries of schemas, takes JSON apart, and counts rows for `describe`."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"
"""Memory of a database; what does not fit goes to temporary files."""


def engine(*, one_thread: bool = True) -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory, which continues on disk.

    It neither downloads nor loads extensions by itself.

    Args:
        one_thread: use one thread, so that a query without an order has the same one every time;
            otherwise all cores.
    """
    import duckdb  # here, as most commands do not need it

    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY,
        # DuckDB creates it when it needs it, and removes it.
        "temp_directory": str(Path(tempfile.gettempdir()) / f"metaselector-{uuid.uuid4()}"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    if one_thread:
        settings["threads"] = 1
    return duckdb.connect(config=settings)


def literal(text: str) -> str:
    """Quote text for SQL.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"

"""Where the rows of a log, or of its side files, are read from: files or a query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag

from metaselector.data.own.yaml_file import SchemaSection
from metaselector.data.raw.engine import literal
from metaselector.data.raw.file import RawFile, RawSource
from metaselector.data.raw.query import RawQuery

_SEPARATOR = re.compile(r"[\t !#-~]")
EXCEL = ".xlsx"


def _one_character(separator: str) -> str:
    if not _SEPARATOR.fullmatch(separator):
        raise ValueError(f"{separator!r} must be one ASCII character, and not a quote or line end")
    return separator


Separator = Annotated[str, AfterValidator(_one_character)]


class Query(SchemaSection):
    """Rows of a query instead of those of a file; it can only read.

    Example:
        >>> Query(query="SELECT * FROM clicks ORDER BY time", connection="shop.duckdb").connection
        'shop.duckdb'
    """

    query: str = Field(
        min_length=1,
        description="one SELECT in DuckDB's SQL; {folder} stands for the folder of the schema",
    )
    connection: str | None = Field(
        None,
        min_length=1,
        description="file of a DuckDB or SQLite database, relative to the schema; or postgres, for "
        "the database that libpq's variables (PGHOST, PGDATABASE, PGUSER …) name; None: the "
        "query reads files",
    )


Source = Annotated[
    Annotated[str, Field(min_length=1), Tag("[file]")] | Annotated[Query, Tag("[query]")],
    Discriminator(lambda given: "[query]" if isinstance(given, Mapping | Query) else "[file]"),
]
"""Where rows are read from: a path relative to the schema, or a query."""


def opened(
    schema: Path, role: str, source: str | Query, separator: str | None, data: Path | None = None
) -> RawSource:
    """Open the rows that a schema names.

    Args:
        schema: path of the schema.
        role: key of the source in the schema, for messages.
        source: a path relative to the schema, or a query.
        separator: column separator of text files; None means the usual one of the format.
        data: path to read instead.
    """
    folder = schema.parent
    if data is None and isinstance(source, Query):
        name = Path(f"{schema} ({role}.query)")
        return RawQuery(name, source.query, folder, source.connection)
    path = data or folder / str(source)
    if path.suffix.lower() == EXCEL and path.is_file():
        sheet = f"select * from read_xlsx({literal(str(path.resolve()))})"
        return RawQuery(path, sheet, path.parent, extension="excel")
    return RawFile(path, separator)

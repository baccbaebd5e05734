"""The rows of a query, of a database or of files that only DuckDB reads.

A query can only read: it is a single SELECT on a database that is opened read-only, and reads no
files but those below the folder of its schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.data.raw.columns import Raw, RawBlock
from metaselector.data.raw.csv_lines import MAX_COLUMNS
from metaselector.data.raw.engine import engine, literal

if TYPE_CHECKING:
    import duckdb

POSTGRES = "postgres"
"""Connection to the database that libpq's environment variables name (PGHOST, PGDATABASE, …)."""
_BLOCK_ROWS, _VALUES = 2**18, 2**22
_SQLITE_MAGIC, _DUCKDB_MAGIC = b"SQLite format 3\x00", b"DUCK"


@dataclass(frozen=True)
class RawQuery:
    """The rows of a query.

    Attributes:
        path: its name in messages.
        text: the query, in DuckDB's SQL; ``{folder}`` stands for `folder`.
        folder: the folder whose files it may read.
        connection: path of a DuckDB or SQLite database, or :data:`POSTGRES`, whose tables it may
            read; None for files alone.
        extension: an extension of DuckDB that it needs.
    """

    path: Path
    text: str
    folder: Path
    connection: str | None = None
    extension: str | None = None
    is_text = False
    is_typed = True

    @cached_property
    def header(self) -> list[str]:
        """Names of the columns of the result.

        Raises:
            DataError: the query or its database is wrong, needs an extension that is not
                installed, or two columns have one name.
        """
        with self._opened() as connection:
            names: list[str] = connection.sql(self._sql).columns
        if len(names) > MAX_COLUMNS:
            problem = f"has {len(names):,} columns, but at most {MAX_COLUMNS:,} are allowed"
            raise DataError(self.path, problem)
        for name in names:
            if names.count(name) > 1:
                raise DataError(self.path, "two columns have this name; rename one", column=name)
        return names

    def blocks(self, columns: Mapping[str, Raw]) -> Iterator[RawBlock]:
        """Run the query, and read some columns of its rows, which are counted from 1.

        Raises:
            DataError: the query fails.
        """
        first = 1
        with self._opened() as connection:
            rows = max(min(_BLOCK_ROWS, _VALUES // len(self.header)), 1)
            for batch in connection.sql(self._sql).to_arrow_reader(rows):
                lines = np.arange(first, first + len(batch), dtype=np.int64)
                found = {name: batch.column(name) for name in columns}
                yield RawBlock(self.path, lines, found)
                first += len(batch)

    @property
    def _place(self) -> str:
        return str(self.folder.resolve())

    @property
    def _sql(self) -> str:
        return self.text.replace("{folder}", self._place.replace("'", "''"))

    @contextmanager
    def _opened(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the database and lock it; report what DuckDB reports in one line."""
        import duckdb

        try:
            with engine() as connection:
                if self.extension:
                    self._load(connection, self.extension)
                if self.connection:
                    self._attach(connection, self.connection)
                connection.execute(f"set allowed_directories = [{literal(self._place + '/')}]")
                connection.execute("set enable_external_access = false")
                connection.execute("set lock_configuration = true")
                statements = connection.extract_statements(self._sql)
                if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                    raise DataError(self.path, "is not one query; write a single SELECT")
                yield connection
        except duckdb.PermissionException as error:
            problem = "a query may only read its database, and files under '{folder}/', the folder "
            raise DataError(self.path, f"{problem}of the schema ({_one_line(error)})") from error
        except (duckdb.Error, pa.ArrowException) as error:
            raise DataError(self.path, f"the query fails ({_one_line(error)})") from error

    def _attach(self, connection: duckdb.DuckDBPyConnection, database: str) -> None:
        kind, place = POSTGRES, ""
        if database != POSTGRES:
            path = self.folder / database
            if not path.is_file():
                raise DataError(path, f"no such database; give a file, or {POSTGRES}")
            with path.open("rb") as file:
                start = file.read(16)
            kind = "sqlite" if start == _SQLITE_MAGIC else "duckdb"
            if kind == "duckdb" and start[8:12] != _DUCKDB_MAGIC:
                raise DataError(path, "is not a database of DuckDB or SQLite; correct the path")
            place = str(path)
        if kind != "duckdb":
            self._load(connection, kind)
        connection.execute(f"attach {literal(place)} as source (type {kind}, read_only)")
        connection.execute("use source")

    def _load(self, connection: duckdb.DuckDBPyConnection, extension: str) -> None:
        import duckdb

        try:
            connection.load_extension(extension)
        except duckdb.Error as error:
            command = (
                f"python -c \"import duckdb; duckdb.connect().install_extension('{extension}')\""
            )
            raise DataError(
                self.path,
                f"needs DuckDB's extension {extension}, which is not installed; with internet, run "
                f"{command}, or export the rows to CSV or Parquet",
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]

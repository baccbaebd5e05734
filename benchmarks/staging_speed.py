"""Reading, coding and sorting a log by our own code, compared with the same work in DuckDB.

    python -m benchmarks.staging_speed compare --work FOLDER

Both read the synthetic log of clicks, from CSV and from Parquet, give each word a code in order of
first occurrence, sort the rows by user, time and position in the file on disk, and pass over them
once. In a second step both also drop repeated rows and users with a single row, and count over each
user's first 80 % of rows how often each word occurs. Ours then counts more: parts of the time,
items in histories, and spreads of numbers. Rows and counts are compared.

Each runs in a process of its own, with one thread, DuckDB with 1 GB of memory. Seconds of the
processor are meaningful on a busy machine too.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Any

import duckdb
import numpy as np
import pyarrow as pa
import typer
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.command import new_app, print_table, run
from benchmarks.prepare_speed import working_folder
from benchmarks.synthetic_log import CARDINALITIES, FORMATS, write_log
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.cleaning import Cleaning
from metaselector.data.preparation.parts import HISTORY_LENGTH, Parts
from metaselector.data.preparation.staging import stage, whole_users
from metaselector.data.preparation.statistics import Statistics
from metaselector.data.splitting.windows import DEFAULT_WINDOWS

WAYS = ("ours", "duckdb")
STEPS = ("sorted", "counted")
WORDS = ("user_id", "item_id", *CARDINALITIES, "tags")
NUMBERS = ("price", "dwell", "bids")
ROWS_AT_ONCE = 2**18

app = new_app()
Rows = NDArray[Any]
"""The coded words of rows and their position in the file, int64 ``[n, words + 1]``; or each word's
column, code and count, and zeros."""


def ours(folder: Path, format_: str, scratch: Path, step: str) -> Iterator[Rows]:
    """Yield the sorted rows block by block, as :mod:`metaselector.data.preparation` makes them.

    After the step *counted*, the counts of words follow.
    """
    table = read_log(folder / format_ / "log.yaml")
    staged = stage(table, scratch, 1.0)
    cleaning = Cleaning(table.source, "drop")
    statistics = Statistics.empty(table, staged, len(staged))
    parts = Parts.of(DEFAULT_WINDOWS, staged.users, None)
    for records in whole_users(staged):
        if step == "counted":
            records = cleaning.clean(records)
            statistics.add(table, records, parts, HISTORY_LENGTH)
        ids = [records[name][:, None] for name in ("user", "item")]
        yield np.concatenate([*ids, records["words"], records["row"][:, None]], axis=1)
    if step == "counted":
        for column, counts in enumerate([statistics.users, statistics.items, *statistics.words]):
            codes = np.flatnonzero(counts)
            yield _counts(column, codes, counts[codes])


def _counts(column: int, codes: NDArray[np.int64], counts: NDArray[np.int64]) -> Rows:
    rows = np.zeros((len(codes), len(WORDS) + 1), dtype=np.int64)
    rows[:, 0], rows[:, 1], rows[:, 2] = column, codes, counts
    return rows


def statements(source: str) -> Iterator[str]:
    """The SQL that leaves the sorted rows in the table ``staged``.

    Text is parsed once, into a table; of Parquet, each statement reads the columns that it needs.
    """
    raw = f"(SELECT row_number() OVER () - 1 AS row, * FROM {source})"
    if source.startswith("read_csv"):
        yield f"CREATE TABLE raw_rows AS FROM {raw}"
        raw = "raw_rows"
    for word in WORDS:
        yield (
            f"CREATE TABLE of_{word} AS SELECT {word} AS word, "
            f"row_number() OVER (ORDER BY min(row)) - 1 AS code FROM {raw} "
            f"WHERE {word} <> '' GROUP BY {word}"
        )
    codes = ", ".join(f"coalesce(of_{word}.code, -1)::INTEGER AS {word}" for word in WORDS)
    joins = " ".join(f"LEFT JOIN of_{word} ON raw.{word} = of_{word}.word" for word in WORDS)
    yield (
        f"CREATE TABLE staged AS SELECT {codes}, row, timestamp::BIGINT * 1000000 AS time, "
        f"clicked::FLOAT AS clicked, {', '.join(f'{name}::DOUBLE AS {name}' for name in NUMBERS)} "
        f"FROM {raw} AS raw {joins} ORDER BY of_user_id.code, time, row"
    )


def cleaning_statements() -> Iterator[str]:
    """The SQL that leaves the cleaned rows in the table ``cleaned``, with their place."""
    of_user = "PARTITION BY user_id"
    yield (
        f"CREATE TABLE once AS SELECT * FROM staged QUALIFY row_number() OVER "
        f"({of_user}, item_id, time ORDER BY row) = 1"
    )
    yield (
        f"CREATE TABLE cleaned AS SELECT *, row_number() OVER ({of_user} ORDER BY time, row) "
        f"<= count(*) OVER ({of_user}) * 80 // 100 AS train FROM once "
        f"QUALIFY count(*) OVER ({of_user}) > 1"
    )


def in_duckdb(folder: Path, format_: str, scratch: Path, step: str) -> Iterator[Rows]:
    """Yield the same rows and counts, made by SQL."""
    path = folder / format_ / f"log.{format_}"
    names = ("user_id", "item_id", "timestamp", "clicked", *CARDINALITIES, *NUMBERS, "tags")
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    source = f"read_parquet('{path}')"
    if format_ == "csv":
        source = f"read_csv('{path}', header = true, auto_detect = false, columns = {{{types}}})"
    settings: dict[str, Any] = {"threads": 1, "memory_limit": "1GB"}
    with duckdb.connect(str(scratch / "staged.duckdb"), config=settings) as connection:
        for statement in statements(source):
            connection.execute(statement)
        table, order = "staged", ""
        if step == "counted":
            for statement in cleaning_statements():
                connection.execute(statement)
            table, order = "cleaned", "ORDER BY user_id, time, row"
        result = connection.sql(f"SELECT {', '.join(WORDS)}, row FROM {table} {order}")
        for batch in result.to_arrow_reader(ROWS_AT_ONCE):
            yield np.stack([_numbers(column) for column in batch.columns], axis=1)
        for column, word in enumerate(WORDS if step == "counted" else ()):
            found = connection.sql(
                f"SELECT {word}, count(*) FROM cleaned WHERE train AND {word} >= 0 "
                f"GROUP BY {word} ORDER BY {word}"
            ).to_arrow_table()
            yield _counts(column, *(_numbers(each) for each in found.columns))


def _numbers(column: pa.Array) -> NDArray[np.int64]:
    return column.to_numpy(zero_copy_only=False).astype(np.int64)


def checksum(blocks: Iterator[Rows]) -> tuple[int, int]:
    """The number of rows, and a number that depends on their values and order."""
    rows, total = 0, 0
    for block in blocks:
        place = np.arange(rows + 1, rows + len(block) + 1, dtype=np.uint64)[:, None]
        weights = np.arange(1, block.shape[1] + 1, dtype=np.uint64) * np.uint64(2_654_435_761)
        values = block.astype(np.int64).astype(np.uint64) + np.uint64(2)
        total += int((values * weights * place).sum(dtype=np.uint64))
        rows += len(block)
    return rows, total % 2**64


@app.command("once")
def once(folder: Path, way: str, format_: str, step: str) -> None:
    """Run one way on one format, and print what it took as JSON."""
    started, busy = perf_counter(), process_time()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = (ours if way == "ours" else in_duckdb)(folder, format_, Path(scratch), step)
        rows, total = checksum(made)
    found = {
        "rows": rows,
        "checksum": total,
        "seconds": perf_counter() - started,
        "cpu_seconds": process_time() - busy,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    print(json.dumps(found))


@app.command("compare")
def compare(
    work: Annotated[Path | None, typer.Option(help="Folder for the log, which is kept.")] = None,
    rows: Annotated[int, typer.Option(min=1_000, help="Rows in the log.")] = 5_000_000,
    output: Annotated[Path, typer.Option("--json", help="File to write the figures to.")] = Path(
        "benchmarks/results/speed/staging.json"
    ),
) -> None:
    """Compare both ways on both formats."""
    with working_folder(work) as folder:
        log = folder / f"log-{rows}"
        if not log.exists():
            write_log(log, rows)
        found: dict[str, dict[str, Any]] = {}
        for step, format_ in product(STEPS, FORMATS):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.staging_speed", "once"]
                done = subprocess.run(
                    [*command, str(log), way, format_, step],
                    stdout=subprocess.PIPE,
                    check=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},
                )
                found[f"{way}_{format_}_{step}"] = json.loads(done.stdout)
            results = [found[f"{way}_{format_}_{step}"] for way in WAYS]
            if len({(each["rows"], each["checksum"]) for each in results}) > 1:
                raise RuntimeError(f"the rows of the two ways differ: {results}")
    where = {"machine": measure.machine(), "versions": measure.versions("duckdb", "pyarrow")}
    measure.save(output, {"log_rows": rows, **found, **where})
    keys = ("cpu_seconds", "seconds", "peak_mb")
    cells = {name: [f"{each[key]:,.1f}" for key in keys] for name, each in found.items()}
    print_table("way, format and step", ["CPU seconds", "seconds", "peak MB"], cells, "staging")


if __name__ == "__main__":
    run(app)

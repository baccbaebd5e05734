"""The same log in another format, which must mean the same."""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz.logs import COLUMNS, SCHEMA, Log, random_log
from benchmarks.fuzz.mutations import mutated
from benchmarks.fuzz.odd_tables import plain_table
from benchmarks.fuzz.target import Different, Target
from metaselector.common.errors import UserError
from metaselector.data.own.own_log import read_log
from metaselector.data.raw.columns import Raw, RawBlock
from metaselector.data.raw.csv_blocks import text_blocks
from metaselector.data.raw.csv_lines import text_header

PLAIN, OTHER = "plain", "other"
Write = Callable[[Log, Path], None]


def targets(world: Path) -> list[Target]:
    return [
        Target("log-rewritten", _write, _compare, 16),
        Target("log-in-blocks", _write_text, _compare_blocks, 8),
    ]


def _write(random: Random, folder: Path) -> None:
    log = random_log(random, odd=0.2)
    _save(log, folder / PLAIN)
    REWRITINGS[random.choice(list(REWRITINGS))](log, folder / OTHER)


def _write_text(random: Random, folder: Path) -> None:
    data = random_log(random, odd=0.2).text().encode()
    (folder / "log.csv").write_bytes(mutated(random, data) if random.random() < 0.7 else data)


def _compare(folder: Path) -> None:
    found = [_read(folder / name) for name in (PLAIN, OTHER)]
    require_same(*found)


def require_same(one: pd.DataFrame | UserError, other: pd.DataFrame | UserError) -> None:
    """Raise :class:`Different` unless two readings are equal tables, or both were refused."""
    if isinstance(one, UserError) and isinstance(other, UserError):
        raise one
    if isinstance(one, UserError) or isinstance(other, UserError) or len(one) != len(other):
        raise Different(f"{_told(one)}, in another format {_told(other)}")
    for column in one.columns.drop("line", errors="ignore"):
        a, b = one[column].tolist(), other[column].tolist()
        if not all(x == y or _both_missing(x, y) for x, y in zip(a, b, strict=True)):
            raise Different(f"column {column}: {a} is read as {b} in another format"[:300])


def _told(found: pd.DataFrame | UserError) -> str:
    return f"refused ({found})" if isinstance(found, UserError) else f"{len(found)} rows"


def _both_missing(x: object, y: object) -> bool:
    return all(
        value is None or value == "" or (isinstance(value, float) and math.isnan(value))
        for value in (x, y)
    )


def _read(folder: Path) -> pd.DataFrame | UserError:
    try:
        rows = read_log(folder / SCHEMA).interactions
    except UserError as error:
        return error
    return rows.iloc[::-1] if (folder / "reversed").exists() else rows


def _save(log: Log, folder: Path, name: str = "log.csv", **how: str | int) -> None:
    separator = str(how.get("separator", ","))
    text = log.text(separator, int(how.get("quoting", csv.QUOTE_MINIMAL)))
    if how.get("end"):
        text = text.replace("\n", str(how["end"]))
    data = (str(how.get("start", "")) + text).encode()
    if name.endswith(".gz"):
        cut = len(data) // 2 if how.get("parts") else len(data)
        data = b"".join(gzip.compress(part, mtime=0) for part in (data[:cut], data[cut:]) if part)
    if how.get("cut"):
        data = data.removesuffix(b"\n")
    own = {"separator": separator} if separator not in ",\t" else {}
    log.save(folder, data, name, **own)


def _parquet(log: Log, folder: Path, typed: bool) -> None:
    text = pa.table({name: pa.array(log.column(name), pa.string()) for name in COLUMNS})
    log.save(folder, b"", "log.parquet")
    pq.write_table(plain_table(log) if typed else text, folder / "log.parquet")


def _parts(log: Log, folder: Path) -> None:
    (folder / "parts").mkdir(parents=True)
    log.save_schema(folder, "parts")
    for place in range(2):
        half = len(log.rows) // 2
        part = replace(log, rows=log.rows[:half] if place == 0 else log.rows[half:])
        text = pa.table({name: pa.array(part.column(name), pa.string()) for name in COLUMNS})
        pq.write_table(text, folder / "parts" / f"{place}.parquet")


def _reversed(log: Log, folder: Path) -> None:
    _save(replace(log, rows=log.rows[::-1]), folder)
    (folder / "reversed").touch()


REWRITINGS: dict[str, Write] = {
    "gzip": lambda log, folder: _save(log, folder, "log.csv.gz"),
    "two gzips": lambda log, folder: _save(log, folder, "log.csv.gz", parts=1),
    "tabs": lambda log, folder: _save(log, folder, "log.tsv", separator="\t"),
    "semicolons": lambda log, folder: _save(log, folder, separator=";"),
    "quoted": lambda log, folder: _save(log, folder, quoting=csv.QUOTE_ALL),
    "windows": lambda log, folder: _save(log, folder, end="\r\n"),
    "byte order mark": lambda log, folder: _save(log, folder, start="\ufeff"),
    "no last line end": lambda log, folder: _save(log, folder, cut=1),
    "parquet of text": lambda log, folder: _parquet(log, folder, typed=False),
    "parquet": lambda log, folder: _parquet(log, folder, typed=True),
    "parquet in parts": _parts,
    "reversed": _reversed,
}


def _compare_blocks(folder: Path) -> None:
    """Read a file as a whole and in small blocks."""
    found = [_in_blocks(folder / "log.csv", size) for size in (2**20, 150, 40)]
    for size in found[1:]:
        if size != found[0]:
            raise Different(f"{found[0]} in one block, {size} in several"[:300])
    if isinstance(found[0], str):
        raise UserError(found[0])


def _in_blocks(path: Path, size: int) -> list[object] | str:
    """The rows, or the error message."""
    try:
        columns: dict[str, Raw] = dict.fromkeys(text_header(path, ","), "word")
        return [row for block in text_blocks(path, ",", columns, size) for row in _rows(block)]
    except UserError as error:
        return str(error)


def _rows(block: RawBlock) -> list[object]:
    columns = [[text or "" for text in column.to_pylist()] for column in block.columns.values()]
    return [*zip(block.lines.tolist(), *columns, strict=True)]

"""User logs: reading, describing and drafting a schema."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from benchmarks.fuzz.logs import SCHEMA, SIDE_FILES, SIDES, random_log
from benchmarks.fuzz.mutations import mutated
from benchmarks.fuzz.odd_tables import odd_table, plain_table
from benchmarks.fuzz.odd_yaml import odd_yaml
from benchmarks.fuzz.target import Different, Target
from metaselector.data.own.draft import draft
from metaselector.data.own.log_schema import load_schema
from metaselector.data.own.own_log import read_log
from metaselector.data.profile.describe import describe

_TEXT = {"log.csv": ",", "log.tsv": "\t", "log.txt": ",", "log.inter": "\t"}


def targets(world: Path) -> list[Target]:
    """Targets for all formats of a log."""
    return [
        Target("log-text", _text, read_whole, 16),
        Target("log-gzip", _gzipped, read_whole, 6),
        Target("log-parquet-damaged", _damaged_parquet, read_whole, 8),
        Target("log-parquet-odd", _odd_parquet, read_whole, 10),
        Target("log-side-files", _sides, read_whole, 8),
        Target("log-schema", _schemas, read_whole, 8),
        Target("log-described", _text, _describe, 6),
        Target("log-drafted", _undescribed, _draft, 6),
    ]


def read_whole(folder: Path) -> None:
    """Read all interactions and the features of their items."""
    table = read_log(folder / SCHEMA)
    names: set[str] = set()
    for block in table.read():
        for what, column in (("user", block.user), ("item", block.item)):
            # One row per word, as a long word in many rows is stored once.
            words = set(pc.unique(column).to_pylist())
            if None in words or "" in words:
                raise Different(f"a row without {what}")
            names |= words if what == "item" else set()
    assert table.describe_items(sorted(names)).index.is_unique


def _text(random: Random, folder: Path) -> None:
    name = random.choice(list(_TEXT))
    log = random_log(random)
    log.save(folder, mutated(random, log.text(_TEXT[name]).encode()), name)


def _gzipped(random: Random, folder: Path) -> None:
    """A log damaged before or after compression, or one that is small only while compressed."""
    log, chosen = random_log(random), random.random()
    text = log.text().encode()
    if chosen < 0.01:
        text += text.splitlines(keepends=True)[-1] * 1_500_000
    elif chosen < 0.5:
        text = mutated(random, text)
    data = gzip.compress(text, mtime=0)
    log.save(folder, mutated(random, data, 2) if chosen >= 0.5 else data, "log.csv.gz")


def _damaged_parquet(random: Random, folder: Path) -> None:
    log = random_log(random)
    path = folder / "log.parquet"
    compression = random.choice(("snappy", "none", "zstd"))
    pq.write_table(plain_table(log), path, compression=compression)
    log.save(folder, mutated(random, path.read_bytes(), 2), path.name)


def _odd_parquet(random: Random, folder: Path) -> None:
    log = random_log(random)
    odd_table(random, log, folder / "log.parquet")
    unit = random.choice(("seconds",) * 4 + (None, "milliseconds", "iso"))
    log.save_schema(folder, "log.parquet", time={"column": "at", "unit": unit})


def _sides(random: Random, folder: Path) -> None:
    log = random_log(random)
    log.schema.update(SIDES)
    log.save(folder, log.text().encode(), "log.csv")
    for side, text in SIDE_FILES.items():
        (folder / f"{side}.csv").write_bytes(mutated(random, text.encode()))


def _schemas(random: Random, folder: Path) -> None:
    log = random_log(random)
    path = log.save(folder, log.text().encode(), "log.csv")
    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_bytes(odd_yaml(random, schema))


def _undescribed(random: Random, folder: Path) -> None:
    log = random_log(random, odd=0.3)
    (folder / "log.csv").write_bytes(mutated(random, log.text().encode(), 3))


def _describe(folder: Path) -> None:
    described = describe(read_log(folder / SCHEMA), 4.0)
    assert described.rows > 0


def _draft(folder: Path) -> None:
    """A draft must be a valid schema or mark what is left to fill in."""
    text = draft(folder / "log.csv", folder)
    (folder / SCHEMA).write_text(text, encoding="utf-8")
    if "CHANGE_ME" not in text:
        load_schema(folder / SCHEMA)

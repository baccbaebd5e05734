"""Small user logs with their schemas, valid or nearly valid."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.fuzz.mutations import word

COLUMNS = ("user", "item", "at", "liked", "stars", "device", "price", "tags")
START = 1_600_000_000
SCHEMA = "log.yaml"
"""Name of the schema file in the folder of an input."""


@dataclass(frozen=True)
class Log:
    """A log as text.

    Attributes:
        rows: values of :data:`COLUMNS`.
        schema: contents of the YAML file, without the names of files.
    """

    rows: Sequence[Sequence[str]]
    schema: dict[str, Any]

    def column(self, name: str) -> list[str]:
        return [row[COLUMNS.index(name)] for row in self.rows]

    def text(self, separator: str = ",", quoting: int = csv.QUOTE_MINIMAL) -> str:
        """The log as delimited text with a header."""
        file = io.StringIO()
        writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
        writer.writerows([COLUMNS, *self.rows])
        return file.getvalue()

    def save(self, folder: Path, data: bytes, name: str, **more: Any) -> Path:
        """Write `data` as the interactions, the schema, and the files that the schema names."""
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        return self.save_schema(folder, name, **more)

    def save_schema(self, folder: Path, name: str, **more: Any) -> Path:
        schema = {"version": 1, "interactions": name, **self.schema, **more}
        for side, text in SIDE_FILES.items():
            if side in schema:
                (folder / f"{side}.csv").write_text(text, encoding="utf-8")
        path = folder / SCHEMA
        path.write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")
        return path


SIDES: dict[str, Any] = {
    "users": {"file": "users.csv", "key": "user", "features": {"age": {"kind": "numeric"}}},
    "items": {
        "file": "items.csv",
        "key": "item",
        "features": {"brand": {}, "kinds": {"kind": "multivalued", "profile": True}},
    },
}
SIDE_FILES = {
    "users": "user,age\nu0,20\nu1,\nu2,31.5\n",
    "items": "item,brand,kinds\ni0,birch,a|b\ni1,,a\ni2,alder,\ni3,birch,c|a\n",
}
_FEATURES: dict[str, Any] = {
    "device": {},
    "price": {"kind": "numeric"},
    "tags": {"kind": "multivalued"},
}


def random_log(random: Random, users: int = 3, rows: int = 4, odd: float = 0.1) -> Log:
    """A valid log, except for the share `odd` of its features, and one cell in some logs."""
    made = [_row(random, user, row, odd) for row in range(rows) for user in range(users)]
    if random.random() < odd:
        random.choice(made)[random.randrange(len(COLUMNS))] = _cell(random)
    return Log(made, _schema(random))


def shuffled(random: Random, log: Log) -> Log:
    """The same rows in another order."""
    return replace(log, rows=random.sample(log.rows, len(log.rows)))


def _row(random: Random, user: int, row: int, odd: float) -> list[str]:
    stars = random.randint(1, 5)
    values = [
        f"u{user}",
        f"i{random.randrange(5)}",
        str(START + 90_000 * row + user),
        str(int(stars > 3)),
        str(stars),
        random.choice(("pc", "tv", "phone", "")),
        random.choice(("1.5", "2", "", "-3e2", f"{random.uniform(0, 1e4):.2f}")),
        "|".join(random.sample(("a", "b", "c"), random.randrange(3))),
    ]
    for column in ("device", "tags"):
        if random.random() < odd:
            values[COLUMNS.index(column)] = _cell(random)
    return values


def _cell(random: Random) -> str:
    """A word without line breaks, which no value may contain, even quoted."""
    return word(random).replace("\n", " ").replace("\r", " ")


def _schema(random: Random) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "user": "user",
        "item": "item",
        "time": {"column": "at", "unit": "seconds"},
        "features": {n: dict(f) for n, f in _FEATURES.items() if random.random() < 0.7},
    }
    if "price" in schema["features"] and random.random() < 0.3:
        schema["features"]["price"]["buckets"] = random.choice((2, 3, 10))
    match random.randrange(4):
        case 0:
            schema["labels"] = {"liked": {"column": "stars", "threshold": 4}}
        case 1:
            schema["negatives"] = {"per_positive": 1}
        case 2:
            good = {"column": "stars", "threshold": 5, "after": "clicked"}
            schema["labels"] = {"clicked": {"column": "liked"}, "good": good}
        case _:
            schema["labels"] = {"clicked": {"column": "liked"}}
    schema |= {name: side for name, side in SIDES.items() if random.random() < 0.4}
    return schema

"""A tiny log of lists that were shown, one line each, as trivago's."""

from __future__ import annotations

from pathlib import Path

SCHEMA = """
version: 1
interactions: shown.csv
where: {action: clickout}
user: user
item: shown
time: {column: time, unit: seconds}
list:
  explode: [shown, prices]
  chosen: clicked
  position: {name: position}
features:
  price: {kind: numeric, column: prices}
  city: {kind: categorical}
time_parts: []
"""
HEADER = "user,action,time,city,shown,prices,clicked"
LOG = (
    "ann,clickout,1000000000,Rome,h1|h2|h3,10|20|30,h2",
    "ann,search,1000000001,Rome,,,",
    "bob,clickout,1000000002,Oslo,h4|h1,40|11,h4",
    "ann,clickout,1000000003,Oslo,h2,21,h2",
)


def write_shown(
    folder: Path, lines: tuple[str, ...] = LOG, schema: str = SCHEMA, header: str = HEADER
) -> Path:
    """Write the log and its schema; return the schema's path."""
    (folder / "shown.csv").write_text("\n".join([header, *lines, ""]))
    path = folder / "shown.yaml"
    path.write_text(schema)
    return path

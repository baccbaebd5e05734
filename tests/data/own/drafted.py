"""Drafts of small logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metaselector.data.interactions import InteractionTable
from metaselector.data.own.draft import write_draft
from metaselector.data.own.log_schema import LogSchema, load_schema
from metaselector.data.own.own_log import read_log

N = 200

RNG = np.random.default_rng(0)

COLUMNS: dict[str, Any] = {
    "user_id": [f"u{i % 30}" for i in range(N)],
    "item_id": [i % 50 for i in range(N)],
    "timestamp": [1_600_000_000 + i for i in range(N)],
    "rating": [1 + i % 5 for i in range(N)],
}


def drafted(
    folder: Path, columns: dict[str, Any], name: str = "log.csv"
) -> tuple[str, LogSchema, InteractionTable]:
    """The draft for a file of `columns`, the schema it loads as, and the table that reads."""
    frame = pd.DataFrame(columns)
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name)
    else:
        frame.to_csv(folder / name, index=False, sep="\t" if name.endswith(".tsv") else ",")
    write_draft(folder / name, folder / "shop.yaml")
    table = read_log(folder / "shop.yaml")
    assert len(table.interactions) == len(frame)
    return (folder / "shop.yaml").read_text(), load_schema(folder / "shop.yaml"), table


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))

"""Raw files to a prepared data set in the run's directory."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from metaselector.config import Config
from metaselector.data.encode import encode
from metaselector.data.interactions import InteractionTable
from metaselector.data.registry import read
from metaselector.data.split import Windows


def prepare(config: Config, source: Path, directory: Path) -> None:
    """Read `source`, encode it with the settings of `config`, and save it to `directory`.

    What reading mended is counted on standard error.
    """
    table = read(config.dataset, source)
    for repair in table.repairs:
        print(f"warning: {repair}", file=sys.stderr)
    if config.data.drop_short_users:
        table = _without_short_users(table)
    dataset = encode(
        table,
        Windows(config.split.early, config.split.train, config.split.valid),
        label_threshold=config.data.label_threshold,
        history_length=config.data.history_length,
    )
    dataset.save(directory)


def _without_short_users(table: InteractionTable) -> InteractionTable:
    rows = table.interactions
    counts = rows["user"].map(rows["user"].value_counts())
    return replace(table, interactions=rows[counts > 1])

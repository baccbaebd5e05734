"""What the studies that train models have in common: settings, part of a data set, results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from benchmarks.command import published_command
from benchmarks.movielens import files
from metaselector.common.files import atomic_directory, write_text
from metaselector.config import Config, load_config
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.origin import load_origin
from metaselector.data.preparation.parts import Settings
from metaselector.data.registry import read
from metaselector.data.splitting.protocol import Window
from metaselector.data.splitting.windows import Windows
from metaselector.runs import environment
from metaselector.runs.run import Run

Select = Callable[[Interactions, int], NDArray[np.int64]]
"""Positions to keep in a block of rows, given the number of rows before the block."""


def load(config: Path | None, seeds: int, data: Path | None) -> tuple[Config, InteractionTable]:
    """Settings with seeds 0 to `seeds` - 1 and one thread, and the raw rows of MovieLens-100K."""
    settings = load_config(config, changes={"seeds": list(range(seeds)), "threads": 1})
    torch.set_num_threads(settings.threads)
    return settings, read(settings.dataset, files(data))


def encode(run: Run, table: InteractionTable, select: Select | None = None) -> None:
    """Encode the rows that `select` keeps, all by default, as the data of `run`."""
    config, split = run.config, run.config.split
    encoding = Settings(
        windows=Windows(split.early, split.train, split.valid),
        label_threshold=config.data.label_threshold,
        history_length=config.data.history_length,
        min_count=config.data.min_count,
    )
    if select is not None:
        table = replace(table, read=partial(_read_some, table, select), repairs=[])
    with atomic_directory(run.data_directory) as directory:
        encode_to(table, directory, encoding)


def _read_some(table: InteractionTable, select: Select) -> Iterator[Interactions]:
    position = 0
    for block in table.read():
        kept = select(block, position)
        position += len(block.lines)
        yield Interactions(
            block.user.take(kept),
            block.item.take(kept),
            block.labels[kept],
            block.timestamps[kept],
            block.lines[kept],
        )


def training_seconds(run: Run, windows: Sequence[Window]) -> float:
    """Seconds that training the base models of these windows took, over all seeds."""
    return sum(
        run.checkpoints.base_record(name, window, seed).seconds
        for seed in run.config.seeds
        for name in run.config.base_models
        for window in windows
    )


def over_seeds(values: Sequence[float]) -> dict[str, float]:
    """``value`` and ``sd``: mean and sample standard deviation; sd is 0 for one seed."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"value": float(np.mean(values)), "sd": sd}


def describe(run: Run, started: float, training_seconds: float) -> dict[str, Any]:
    """Command, machine, versions and data with their limits.

    Args:
        started: a time of ``time.perf_counter``.
    """
    found = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=training_seconds,
        threads=run.config.threads,
        device=run.config.device,
        data_sha256=run.dataset.digest(),
    )
    if origin := load_origin(run.data_directory):
        found |= {"data_title": origin.title, "data_limit": origin.limit}
    return found | {"command": published_command()}


def write_results(
    folder: Path, texts: Mapping[str, str], described: Mapping[str, Any] | None = None
) -> None:
    """Write `texts` by file name, and `described` as ``environment.json``; print the paths."""
    if described is not None:
        texts = {**texts, "environment.json": json.dumps(described, indent=1) + "\n"}
    for name, text in texts.items():
        write_text(folder / name, text)
        typer.echo(folder / name)

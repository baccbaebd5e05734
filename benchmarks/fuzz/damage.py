"""Damaged files: readers must refuse them or return exactly the same numbers."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.fuzz.saved import predictions
from benchmarks.fuzz.target import Different, Target
from benchmarks.fuzz.world import CANDIDATES, HISTORY, MODEL, RUN, STOPPED
from metaselector import MetaSelector
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.inference.trained import TrainedModel
from metaselector.runs.run import Run
from metaselector.runs.session import session
from metaselector.runs.stages.train import meta_train_selectors

Numbers = Mapping[str, Any]
"""Results by name; compared by ``==``."""


def targets(world: Path) -> list[Target]:
    subjects: list[tuple[str, str, str, Callable[[Path], Numbers], int]] = [
        ("damaged-data", RUN, "data/*", _everything, 8),
        ("damaged-model", MODEL, "**/*", partial(_predicted, world), 8),
        ("damaged-snapshots", STOPPED, "checkpoints/*/*.unfinished/*", _finished, 2),
        ("damaged-run", RUN, "[dc][ah][te][ac]*/**/*", _evaluated, 4),
    ]
    return [
        Target(
            name,
            partial(_write, world / source, pattern, find),
            partial(_compare, world / source, find),
            weight,
            "damaged",
        )
        for name, source, pattern, find, weight in subjects
    ]


def _write(
    source: Path, pattern: str, find: Callable[[Path], Numbers], random: Random, folder: Path
) -> None:
    """Write a copy of `source` in which one file is damaged."""
    _undamaged(source, find)
    copy = folder / "copy"
    shutil.copytree(source, copy)
    files = sorted(path for path in copy.glob(pattern) if path.is_file())
    random.choice(DAMAGES)(random, random.choice(files), files)


def _compare(source: Path, find: Callable[[Path], Numbers], folder: Path) -> None:
    expected, found = _undamaged(source, find), find(folder / "copy")
    for name in expected.keys() | found.keys():
        if expected.get(name) != found.get(name):
            raise Different(f"{name} is not as before")


@cache
def _undamaged(source: Path, find: Callable[[Path], Numbers]) -> Numbers:
    """Results without damage."""
    with tempfile.TemporaryDirectory() as scratch:
        return find(Path(shutil.copytree(source, Path(scratch) / "copy")))


def _everything(directory: Path) -> Numbers:
    """Everything that commands read from prepared data."""
    run = Run(directory, load_config(directory / "config.yaml"))
    data, encoder = run.dataset, FittedEncoder.load(run.data_directory)
    rows = np.arange(len(data))
    batch = data.batch(rows)
    return {
        "ids": batch.ids.tolist(),
        "values": batch.values.tolist(),
        "labels": data.label(rows).tolist(),
        "users": (data.user_names, data.users[rows].tolist()),
        "times": data.timestamps[rows].tolist(),
        "rows": data.source_rows[rows].tolist(),
        "items": data.items[rows].tolist(),
        "schema": data.schema,
        "described": (encoder.rows, encoder.users.to_csv(), encoder.items.to_csv()),
        "sha256": data.digest(),
    }


def _predicted(world: Path, directory: Path) -> Numbers:
    table = predictions(TrainedModel.load(directory), world / HISTORY, world / CANDIDATES)
    return {str(name): table[name].tolist() for name in table}


def _finished(directory: Path) -> Numbers:
    """Weights of a training that resumes from its snapshots or starts again."""
    run = Run(directory, load_config(directory / "config.yaml"))
    with session(run, Silent()) as progress:
        meta_train_selectors(run, progress, ("metaselector",))
    learned = run.checkpoints.load_learned("metaselector", run.config.seeds[0])
    return {name: _digest(tensor) for name, tensor in learned.tensors().items()}


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()


def _evaluated(directory: Path) -> Numbers:
    """All numbers of a run's tables, except training times."""
    MetaSelector.load(directory).evaluate()
    tables = {
        path.name: pd.read_csv(path).drop(columns="seconds", errors="ignore").to_csv()
        for path in directory.glob("*.csv")
    }
    return tables | {
        path.name: pd.read_parquet(path).to_csv() for path in directory.glob("*.parquet")
    }


Damage = Callable[[Random, Path, list[Path]], None]


def _on_bytes(change: Callable[[Random, bytearray], bytes | bytearray]) -> Damage:
    def damage(random: Random, path: Path, files: list[Path]) -> None:
        path.write_bytes(change(random, bytearray(path.read_bytes())))

    return damage


def _flip(random: Random, data: bytearray, bits: int = 1) -> bytearray:
    for _ in range(bits if data else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def _zero(random: Random, data: bytearray) -> bytearray:
    start = random.randrange(len(data) + 1)
    length = min(len(data) - start, random.choice((1, 8, 512, 4096)))
    data[start : start + length] = bytes(length)
    return data


def _swap(random: Random, data: bytearray) -> bytearray:
    half = len(data) // 2
    start, length = random.randrange(half + 1), random.choice((1, 4, 64))
    length = min(length, half - start)
    other = half + random.randrange(len(data) - half - length + 1)
    first, second = bytes(data[start : start + length]), bytes(data[other : other + length])
    data[start : start + length], data[other : other + length] = second, first
    return data


def _remove(random: Random, path: Path, files: list[Path]) -> None:
    path.unlink()


def _as_folder(random: Random, path: Path, files: list[Path]) -> None:
    path.unlink()
    path.mkdir()


def _as_another(random: Random, path: Path, files: list[Path]) -> None:
    """Replace the contents by those of another file."""
    path.write_bytes(random.choice(files).read_bytes())


def _exchange(random: Random, path: Path, files: list[Path]) -> None:
    """Swap the contents of two files."""
    other = random.choice(files)
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def _as_link(random: Random, path: Path, files: list[Path]) -> None:
    path.unlink()
    os.symlink(path.name, path)  # to itself


DAMAGES: tuple[Damage, ...] = (
    *[_on_bytes(_flip)] * 6,
    _on_bytes(lambda random, data: _flip(random, data, 9)),
    *[_on_bytes(lambda random, data: data[: random.randrange(len(data) + 1)])] * 2,
    _on_bytes(lambda random, data: b""),
    _on_bytes(_zero),
    _on_bytes(_zero),
    _on_bytes(_swap),
    _on_bytes(_swap),
    _on_bytes(lambda random, data: data + random.randbytes(random.randint(1, 64))),
    _on_bytes(lambda random, data: data + data),
    _on_bytes(lambda random, data: random.randbytes(len(data))),
    _remove,
    _as_folder,
    _as_another,
    _as_another,
    _exchange,
    _as_link,
)
"""Damage that disks, copying, synchronised folders and people cause."""

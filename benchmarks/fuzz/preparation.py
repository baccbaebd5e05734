"""Prepared logs: models must see what the log contains, whatever the order of its rows."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzz.logs import SCHEMA, Log, random_log, shuffled
from benchmarks.fuzz.target import Different, Target
from metaselector.common.errors import UserError
from metaselector.config import load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.own.log_schema import load_schema
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.runs.stages.prepare import prepare

GIVEN, SHUFFLED = "given", "shuffled"
_MOST_VALUE = 1000.0
"""Beyond this, a standardised number would outweigh every other feature."""


def targets(world: Path) -> list[Target]:
    return [Target("log-prepared", _write, _check, 4)]


def _write(random: Random, folder: Path) -> None:
    log = random_log(random, users=random.randint(3, 6), rows=random.randint(10, 14), odd=0.2)
    for name, rows in ((GIVEN, log), (SHUFFLED, shuffled(random, log))):
        rows.save(folder / name, rows.text().encode(), "log.csv")


def _check(folder: Path) -> None:
    found = [_prepared(folder / name) for name in (GIVEN, SHUFFLED)]
    one, other = found
    if isinstance(one, UserError) and isinstance(other, UserError):
        raise one
    if isinstance(one, UserError) or isinstance(other, UserError):
        raise Different(f"refused in one order of the rows only: {one}, {other}"[:300])
    _require_sound(one)
    log = _log(folder / GIVEN)
    times = [(row[0], row[2]) for row in log.rows]
    if len(set(times)) == len(times) and "negatives" not in log.schema:
        _require_labels(one, log)
        for name, rows in _by_user(one, folder / GIVEN).items():
            if _by_user(other, folder / SHUFFLED).get(name) != rows:
                raise Different(f"user {name} has different rows if the file is reordered")


def _prepared(folder: Path) -> EncodedDataset | UserError:
    config = load_config(changes={"dataset": str(folder / SCHEMA), "threads": 1})
    try:
        prepare(config, folder / "log.csv", folder / "data")
    except UserError as error:
        return error
    return EncodedDataset.load(folder / "data")


def _log(folder: Path) -> Log:
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.reader(file)]
    labels = load_schema(folder / SCHEMA).labels
    return Log(rows[1:], {"labels": labels} if labels else {"negatives": {}})


def _require_sound(data: EncodedDataset) -> None:
    """Require valid ids, bounded values, valid labels and rows ordered by time."""
    rows = np.arange(len(data))
    ids, values = (part.numpy() for part in data.batch(rows))
    if ids.min() < 0 or ids.max() >= data.schema.num_ids:
        raise Different(f"ids from {ids.min()} to {ids.max()} of {data.schema.num_ids}")
    if not np.isfinite(values).all() or np.abs(values).max() > _MOST_VALUE:
        raise Different(f"a value of {values.flat[np.abs(values).argmax()]}")
    labels = data.label(rows).numpy()
    if not np.isin(labels[~np.isnan(labels)], (0, 1)).all():
        raise Different("a label that is neither 0 nor 1")
    same_user = np.diff(data.users[rows]) == 0
    if (np.diff(data.timestamps[rows])[same_user] < 0).any():
        raise Different("a user's rows are not in order of time")


def _require_labels(data: EncodedDataset, log: Log) -> None:
    """Compare the first label of each row with a simple reading of the file."""
    label = next(iter(log.schema["labels"].values()))
    try:
        said = [
            (user, float(time), float(float(value) >= label.least))
            for user, time, value in zip(
                *map(log.column, ("user", "at", label.column)), strict=True
            )
        ]
    except ValueError:  # an odd cell, which only the readers handle
        return
    for user, group in groupby(sorted(said), key=lambda row: row[0]):
        expected = [positive for _, _, positive in group]
        found = _labels_of(data, user)
        if found is not None and found != expected:
            raise Different(f"user {user} has labels {found}, the file says {expected}")


def _labels_of(data: EncodedDataset, user: str) -> Sequence[float] | None:
    if user not in data.user_names:
        return None
    place = data.user_names.index(user)
    rows = np.arange(data.user_offsets[place], data.user_offsets[place + 1])
    labels: Sequence[float] = data.labels[rows].tolist()
    return labels


def _by_user(data: EncodedDataset, folder: Path) -> dict[str, list[Any]]:
    """Each user's rows as models see them; item codes depend on the order of the file."""
    items = [str(name) for name in FittedEncoder.load(folder / "data").items.index]
    ids, values = (part.numpy() for part in data.batch(np.arange(len(data))))
    found: dict[str, list[Any]] = {name: [] for name in data.user_names}
    for row, user in enumerate(data.users[np.arange(len(data))].tolist()):
        label = float(data.labels[row])
        seen = [ids[row].tolist(), values[row].tolist(), None if math.isnan(label) else label]
        found[data.user_names[user]].append([items[data.items[row]], *seen])
    return found

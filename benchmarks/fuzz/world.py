"""A tiny log, a run on it, an interrupted run, and the saved model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

from benchmarks.fuzz.logs import SIDE_FILES, SIDES, START, Log, random_log
from metaselector.common.progress import Advance, Silent
from metaselector.config import Config, load_config
from metaselector.inference.trained import TrainedModel
from metaselector.runs.run import Run
from metaselector.runs.session import session
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

RUN, STOPPED, MODEL, TINY = "run", "stopped", "model", "tiny.yaml"
SPACE = "space.yaml"
HISTORY, CANDIDATES = "history.csv", "candidates.csv"
USERS, ROWS = 12, 20
SCHEMA: Mapping[str, Any] = {
    "user": "user",
    "item": "item",
    "time": {"column": "at", "unit": "seconds"},
    "labels": {"liked": {"column": "liked"}},
    "features": {"device": {}, "price": {"kind": "numeric"}, "tags": {"kind": "multivalued"}},
    **SIDES,
}
SETTINGS: Mapping[str, Any] = {
    "base_models": {name: {"pretrain": {"epochs": 2, "batch_size": 64}} for name in ("lr", "fm")},
    "selector": {"hidden_size": 4},
    "adapt": {"support_size": 4},
    "meta_train": {"epochs": 3, "users_per_batch": 4},
    "evaluate": {"resamples": 2},
    "checkpoint": {"steps": 2},
    "threads": 1,
}


def build(folder: Path) -> Path:
    """Fill an empty folder, which takes some seconds, and return it."""
    log = Log(random_log(Random(0), USERS, ROWS, odd=0.0).rows, dict(SCHEMA))
    schema = log.save(folder, log.text().encode(), "log.csv")
    (folder / TINY).write_text(yaml.safe_dump({**SETTINGS, "dataset": str(schema)}))
    (folder / SPACE).write_text("adapt.steps: {low: 1, high: 3}\n", encoding="utf-8")
    assert set(SIDE_FILES) <= {path.stem for path in folder.iterdir()}
    run = Run(folder / RUN, load_config(folder / TINY))
    prepare_run(run, None, folder)
    with session(run, Silent()) as progress:
        pretrain_base_models(run, progress)
    _stop(folder, run.config)
    with session(run, Silent()) as progress:
        meta_train_selectors(run, progress)
    TrainedModel.of_run(run).save(folder / MODEL)
    _rows_to_predict(log, folder)
    return folder


class _Stop(Exception):
    pass


class _Stops(Silent):
    """Interrupts training half-way through meta-training, like a power cut."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        steps = iter(range(total))

        def advance() -> None:
            if description.endswith(" metaselector") and next(steps) >= total // 2:
                raise _Stop

        yield advance


def _stop(folder: Path, config: Config) -> None:
    stopped = Run(folder / STOPPED, config)
    shutil.copytree(folder / RUN, stopped.directory)
    with suppress(_Stop), session(stopped, _Stops()) as progress:
        meta_train_selectors(stopped, progress, ("sample-selector", "metaselector"))
    assert [*stopped.directory.rglob("*.unfinished/*.safetensors")], "no snapshot was left"


def _rows_to_predict(log: Log, folder: Path) -> None:
    """Write the history of two users and a new one, and candidates for all three."""
    known = [row for row in log.rows if row[0] in ("u0", "u1")][:10]
    new = [["new", *row[1:]] for row in known[:3]]
    history = Log([*known, *new], {})
    candidates = [
        [user, f"i{item}", str(START + 10**7), "", "", "pc", "9.5", "a|c"]
        for item in range(4)
        for user in ("u0", "u1", "new")
    ]
    (folder / HISTORY).write_text(history.text(), encoding="utf-8")
    (folder / CANDIDATES).write_text(Log(candidates, {}).text(), encoding="utf-8")

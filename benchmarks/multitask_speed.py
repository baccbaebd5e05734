"""How fast multi-task models train, compared with models of equal name and size in two libraries.

``python -m benchmarks.multitask_speed --json FILE``, after ``make benchmark-peers``. Tasks are
timed in turns. Our models train in the loop of `metaselector pretrain`, reading the rows included.
The peers train as described in :mod:`benchmarks.multitask_peers`; the fastest of them counts.

The rows are MovieLens-100K's with the labels *rating ≥ 3* and *rating ≥ 4*. Both are known in every
row, as the peers require. For our ESMM and AITM the second task is after the first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from base_models.contract import Task
from base_models.funnel import log_probabilities
from benchmarks import measure, movielens
from benchmarks.command import Timing, print_figures, print_table, run, timing_app
from benchmarks.contenders import Contender, Settings, check_learned, pretraining
from benchmarks.multitask_peers import Sizes, our_options, peers
from benchmarks.peers import PEERS, columns
from metaselector.config import Config, change_config
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.windows import window_rows
from metaselector.models import registry
from metaselector.runs.stages.prepare import prepare
from metaselector.training.predict import predict

THRESHOLDS = (3, 4)
EMBEDDING_SIZE = 16
SEQUENTIAL = ("esmm", "aitm")
"""Models that need to know which task is after which."""
EVERY = 4
"""Every n-th row is used; using all of them would only take longer."""
TARGET = "≥ 2"


def load(data: Path | None) -> EncodedDataset:
    """MovieLens-100K with a task for each of :data:`THRESHOLDS`, each after the one before."""
    source = movielens.files(data)
    with tempfile.TemporaryDirectory() as directory:
        parts = []
        for threshold in THRESHOLDS:
            config = change_config(Config(), {"data.label_threshold": threshold})
            prepare(config, source, Path(directory) / str(threshold))
            parts.append(EncodedDataset.load(Path(directory) / str(threshold)))
    names = tuple(f"rating-{threshold}" for threshold in THRESHOLDS)
    return replace(
        parts[-1],
        schema=parts[-1].schema.model_copy(update={"tasks": names, "task_after": (-1, 0)}),
        task_labels=np.concatenate([part.task_labels for part in parts], axis=1),  # [N, 2]
    )


def for_model(name: str, dataset: EncodedDataset) -> EncodedDataset:
    """The same rows; tasks are unrelated unless the model is one of :data:`SEQUENTIAL`."""
    if name in SEQUENTIAL:
        return dataset
    return replace(dataset, schema=dataset.schema.model_copy(update={"task_after": None}))


def contender(
    name: str,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    config: PretrainConfig,
    device: str,
) -> Contender:
    """One of our models in our own loop."""
    own = for_model(name, dataset)
    tasks = [Task(parent) for parent in own.schema.parents]
    options = our_options(Sizes(), EMBEDDING_SIZE)[name]
    model = registry.build_base_model(name, own.schema, options, seed=0).to(device)

    def probabilities() -> Tensor:
        return log_probabilities(predict(model, own, rows), tasks)[0].exp()

    return Contender(pretraining(model, own, rows, config), probabilities)


def figures(seconds: Mapping[str, Mapping[str, list[float]]], rows: int) -> dict[str, float]:
    """The published figures.

    Args:
        seconds: of each call, by model and contender; our contender is called "ours".
        rows: number of rows that a call trains on.
    """
    found: dict[str, float] = {}
    for name, times in seconds.items():
        rates = {who: rows / measure.median(each) for who, each in times.items()}
        ours = rates.pop("ours")
        found[f"{name}_over_best_peer"] = ours / max(rates.values())
        found[f"{name}_rows_per_second"] = ours
    return found


def time_models(timing: Timing) -> None:
    """Time training."""
    torch.manual_seed(0)
    dataset = load(timing.data)
    rows = window_rows(dataset.user_offsets, 0, Config().split.train)[::EVERY]
    labels = torch.from_numpy(np.asarray(dataset.task_labels[rows]))  # [n, 2]
    config = PretrainConfig().for_rows(len(rows))
    same = Settings(EMBEDDING_SIZE, (), config.learning_rate, config.rows_per_step, timing.device)
    contenders = {
        name: {"ours": contender(name, dataset, rows, config, timing.device), **others}
        for name, others in peers(columns(dataset, rows), labels, same, Sizes()).items()
    }
    tasks: dict[str, Callable[[], object]] = {
        f"{name} {who}": each.train
        for name, group in contenders.items()
        for who, each in group.items()
    }
    timed, threads = timing.fastest(tasks, repeats=timing.repeats, warm_up=1)
    seconds = {
        name: {who: timed[f"{name} {who}"] for who in group} for name, group in contenders.items()
    }
    found = figures(seconds, len(rows))
    raw = {
        "rows": len(rows),
        "seconds": seconds,
        "threads": threads,
        "logloss": {name: check_learned(group, labels) for name, group in contenders.items()},
    }
    timing.save(found, raw, PEERS)
    rates = {
        who: [
            f"{len(rows) / measure.median(group[who]):,.0f}" if who in group else ""
            for group in seconds.values()
        ]
        for who in seconds["mmoe"]
    }
    print_table("trained by", list(seconds), rates, f"rows per second, {len(rows)} rows per call")
    targets = dict.fromkeys((name for name in found if name.endswith("peer")), TARGET)
    print_figures({name: found[name] for name in targets}, targets)


if __name__ == "__main__":
    run(timing_app(time_models))

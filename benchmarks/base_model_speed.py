"""How fast base models train and predict, compared with two libraries, and how fast users adapt.

``python -m benchmarks.base_model_speed --json FILE``, after ``make benchmark-peers``. Tasks are
timed in turns. Our models train in the loop of `metaselector pretrain`, reading the rows included.
The peers train as described in :mod:`benchmarks.deepfm_peers`; the fastest of them counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks import measure, movielens
from benchmarks.command import Timing, print_figures, print_table, run, timing_app
from benchmarks.contenders import Contender, Settings, check_learned, pretraining
from benchmarks.deepfm_peers import peers
from benchmarks.peers import PEERS, columns
from metaselector.config import Config
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import window_episodes
from metaselector.data.splitting.windows import window_rows
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.variants import make_adaptation
from metaselector.models import registry
from metaselector.models.build import build_mixture
from metaselector.training.predict import predict

OURS = ("lr", "fm", "deepfm")
EMBEDDING_SIZE = 16
HIDDEN_SIZES = (64, 64)
OPTIONS: dict[str, dict[str, Any]] = {
    "lr": {},
    "fm": {"embedding_size": EMBEDDING_SIZE},
    "deepfm": {"embedding_size": EMBEDDING_SIZE, "hidden_sizes": HIDDEN_SIZES, "dropout": 0.0},
}
TARGETS = {"deepfm_over_best_peer": "≥ 3", "evaluate_users_seconds": "≤ 2"}


def new_models(dataset: EncodedDataset, device: str) -> dict[str, nn.Module]:
    """Our untrained base models."""
    return {
        name: registry.build_base_model(name, dataset.schema, OPTIONS[name], seed=0).to(device)
        for name in OURS
    }


def contender(
    model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64], config: PretrainConfig
) -> Contender:
    """One of our models in our own loop."""
    return Contender(
        pretraining(model, dataset, rows, config), lambda: predict(model, dataset, rows).sigmoid()
    )


def evaluation(dataset: EncodedDataset, config: Config) -> Callable[[], object]:
    """A task that adapts untrained joint MetaSelector to every user and predicts *test*.

    Its correction by residuals goes by the age of rows alone, without measures of similarity.
    """
    mixture = build_mixture(new_models(dataset, config.device), dataset.schema, config, seed=0)
    adaptation = make_adaptation("metaselector", mixture, config)
    alpha = adaptation.initial_rates({n: p.detach() for n, p in mixture.named_parameters()})
    window = (config.split.valid, 100)
    model = AdaptedModel.of_settings(mixture, alpha, adaptation, dataset.schema.tasks, config.adapt)
    size = config.adapt.support_size
    return lambda: model.predict(dataset, window_episodes(dataset, window, size))


def figures(seconds: Mapping[str, list[float]], rows: int) -> dict[str, float]:
    """The published figures.

    Args:
        seconds: of each call of ``train NAME``, ``predict NAME`` and ``evaluate users``.
        rows: number of rows that a call trains on or predicts.
    """
    rate = {task: rows / measure.median(times) for task, times in seconds.items()}
    trained = {task.removeprefix("train "): rate[task] for task in rate if task.startswith("train")}
    best_peer = max(trained[name] for name in trained if name not in OURS)
    return {
        "deepfm_over_best_peer": trained["deepfm"] / best_peer,
        **{f"{name}_rows_per_second": trained[name] for name in OURS},
        "predict_rows_per_second": rate["predict deepfm"],
        "evaluate_users_seconds": measure.median(seconds["evaluate users"]),
    }


def show(seconds: Mapping[str, list[float]], rows: int) -> None:
    """Print the speed of each contender."""
    names = [task.removeprefix("train ") for task in seconds if task.startswith("train ")]
    rates = {
        name: [
            f"{rows / measure.median(seconds[f'{do} {name}']):,.0f}" for do in ("train", "predict")
        ]
        for name in names
    }
    title = f"rows per second, {rows} rows per call"
    print_table("contender", ["training", "prediction"], rates, title)


def time_models(timing: Timing) -> None:
    """Time training, prediction and adaptation."""
    torch.manual_seed(0)
    config = Config(device=timing.device, threads=torch.get_num_threads())
    dataset = movielens.load(timing.data)
    rows = window_rows(dataset.user_offsets, 0, config.split.train)
    labels = dataset.label(rows)
    trained = {n: config.base_models[n].pretrain.for_rows(len(rows)) for n in OURS}
    contenders = {
        name: contender(model, dataset, rows, trained[name])
        for name, model in new_models(dataset, timing.device).items()
    }
    same = Settings(
        EMBEDDING_SIZE,
        HIDDEN_SIZES,
        trained["deepfm"].learning_rate,
        trained["deepfm"].rows_per_step,
        timing.device,
    )
    contenders |= peers(columns(dataset, rows), labels, same)
    tasks: dict[str, Callable[[], object]] = {"evaluate users": evaluation(dataset, config)}
    for name, each in contenders.items():
        tasks |= {f"train {name}": each.train, f"predict {name}": each.predict}

    seconds, threads = timing.fastest(tasks, repeats=timing.repeats, warm_up=1)
    found = figures(seconds, len(rows))
    raw = {
        "rows": len(rows),
        "users": dataset.num_users,
        "seconds": seconds,
        "threads": threads,
        "logloss": check_learned(contenders, labels),
    }
    timing.save(found, raw, PEERS)
    show(seconds, len(rows))
    print_figures({name: found[name] for name in TARGETS}, TARGETS)


if __name__ == "__main__":
    run(timing_app(time_models))

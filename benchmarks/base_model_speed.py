"""How fast the base models train and predict, beside two libraries, and how fast users adapt.

``python -m benchmarks.base_model_speed --json FILE``, after ``make benchmark-peers``. Everything is
timed in turns. Our models train in the loop that `metaselector pretrain` uses, reading the rows
included; the peers as :mod:`benchmarks.deepfm_peers` describes, and the fastest of them counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure, movielens
from benchmarks.command import (
    DataOption,
    DeviceOption,
    JsonOption,
    RepeatsOption,
    ThreadsOption,
    new_app,
    print_figures,
    print_table,
    run,
)
from benchmarks.deepfm_peers import peers
from benchmarks.peers import PEERS, Contender, Settings, columns
from metaselector.common.progress import Silent
from metaselector.config import Config
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import window_episodes
from metaselector.data.splitting.windows import window_rows
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.variants import make_adaptation
from metaselector.models import registry
from metaselector.models.build import make_mixture
from metaselector.training.predict import predict
from metaselector.training.pretrain import pretrain

OURS = ("lr", "fm", "deepfm")
EMBEDDING_SIZE = 16
HIDDEN_SIZES = (64, 64)
OPTIONS: dict[str, dict[str, Any]] = {
    "lr": {},
    "fm": {"embedding_size": EMBEDDING_SIZE},
    "deepfm": {"embedding_size": EMBEDDING_SIZE, "hidden_sizes": HIDDEN_SIZES, "dropout": 0.0},
}
TARGETS = {"deepfm_over_best_peer": "≥ 3", "evaluate_users_seconds": "≤ 2"}

app = new_app()


def new_models(dataset: EncodedDataset, device: str) -> dict[str, nn.Module]:
    """Our base models, untrained."""
    return {
        name: registry.create(name, dataset.schema, OPTIONS[name], seed=0).to(device)
        for name in OURS
    }


def contender(
    model: nn.Module, dataset: EncodedDataset, rows: NDArray[np.int64], config: PretrainConfig
) -> Contender:
    """One of our models in our own loop."""
    generator = np.random.default_rng(0)

    def train() -> object:
        return pretrain(
            model,
            dataset,
            rows,
            config,
            generator,
            valid=None,
            epochs=1,
            description="",
            progress=Silent(),
        )

    return Contender(train, lambda: predict(model, dataset, rows).sigmoid())


def evaluation(dataset: EncodedDataset, config: Config) -> Callable[[], object]:
    """Adapts joint MetaSelector, untrained, to every user and predicts *test*."""
    mixture = make_mixture(new_models(dataset, config.device), dataset, config, seed=0)
    adaptation = make_adaptation("metaselector", mixture, config.adapt)
    start = dict(mixture.named_parameters())
    alpha = adaptation.rule.init({name: start[name].detach() for name in adaptation.names})
    window = (config.split.valid, 100)
    model = AdaptedModel.of_settings(mixture, alpha, adaptation, dataset.schema.tasks, config.adapt)
    size = config.adapt.support_size
    return lambda: model.predict(dataset, window_episodes(dataset, window, size))


def figures(seconds: Mapping[str, list[float]], rows: int) -> dict[str, float]:
    """What is published of the times.

    Args:
        seconds: of every call of ``train NAME``, ``predict NAME`` and ``evaluate users``.
        rows: how many a call trains on or predicts.
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


def check_learned(contenders: Mapping[str, Contender], labels: Tensor) -> dict[str, float]:
    """The logloss of each, in nats; one that is no better than the mean label did no training."""
    positive = labels.mean().item()
    entropy = -positive * math.log(positive) - (1 - positive) * math.log(1 - positive)
    losses = {
        name: F.binary_cross_entropy(each.predict().float(), labels).item()
        for name, each in contenders.items()
    }
    for name, loss in losses.items():
        if not loss < entropy:
            raise RuntimeError(f"{name} has learned nothing: logloss {loss}, mean label {entropy}")
    return losses


def show(seconds: Mapping[str, list[float]], rows: int) -> None:
    """Print the speed of every contender."""
    names = [task.removeprefix("train ") for task in seconds if task.startswith("train ")]
    rates = {
        name: [
            f"{rows / measure.median(seconds[f'{do} {name}']):,.0f}" for do in ("train", "predict")
        ]
        for name in names
    }
    title = f"rows a second, {rows} rows a call"
    print_table("contender", ["training", "prediction"], rates, title)


@app.command()
def main(
    json: JsonOption,
    data: DataOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 2,
    repeats: RepeatsOption = 5,
) -> None:
    """Time training, prediction and adaptation."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = Config(device=device, threads=threads)
    dataset = movielens.load(data)
    rows = window_rows(dataset.user_offsets, 0, config.split.train)
    labels = dataset.label(rows)
    trained = {name: config.base_models[name].pretrain for name in OURS}
    contenders = {
        name: contender(model, dataset, rows, trained[name])
        for name, model in new_models(dataset, device).items()
    }
    same = Settings(
        EMBEDDING_SIZE,
        HIDDEN_SIZES,
        trained["deepfm"].learning_rate,
        trained["deepfm"].batch_size,
        device,
    )
    contenders |= peers(columns(dataset, rows), labels, same)
    tasks: dict[str, Callable[[], object]] = {"evaluate users": evaluation(dataset, config)}
    for name, each in contenders.items():
        tasks |= {f"train {name}": each.train, f"predict {name}": each.predict}

    seconds = measure.interleaved(tasks, repeats=repeats, warm_up=1, device=device)
    found = figures(seconds, len(rows))
    raw = {
        "rows": len(rows),
        "users": dataset.num_users,
        "seconds": seconds,
        "logloss": check_learned(contenders, labels),
    }
    where = {"machine": measure.machine(device), "versions": measure.versions(*PEERS)}
    measure.save(json, found | {"raw": raw} | where)
    show(seconds, len(rows))
    print_figures({name: found[name] for name in TARGETS}, TARGETS)


if __name__ == "__main__":
    run(app)

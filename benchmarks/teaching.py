"""Base models that teach each other, compared with base models trained independently.

    python -m benchmarks.teaching --seeds 5

writes ``benchmarks/results/teaching/``: the metrics of each base model, and of joint MetaSelector
on top of them, on MovieLens-100K with all rows and with a tenth of the rows before *test*. Models
that are already trained are reused.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray

from benchmarks import study
from benchmarks.command import (
    ConfigOption,
    DataOption,
    OutputOption,
    RunsOption,
    SeedsOption,
    new_app,
)
from benchmarks.command import run as run_app
from benchmarks.teaching_metrics import compare
from benchmarks.teaching_page import convergence, page
from metaselector.common.progress import Bars, Progress
from metaselector.config import Config, change_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.splitting.windows import boundaries
from metaselector.evaluate.predictions import long_table
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.training.predict import predict

CONFIG = Path(__file__).parent / "configs" / "teaching.yaml"
STRATEGIES = ("independent", "mutual", "co-training")
FEW = 10
"""Percentage of the rows before *test* that the few-shot data keep."""
LABELS: Mapping[str, Mapping[str, Any]] = {
    "all": {"peer_learning.growth": 0.25, "peer_learning.most": 0.5, "peer_learning.rounds": 2},
    "few": {
        "peer_learning.weight": 10.0,
        "peer_learning.growth": 1.0,
        "peer_learning.most": 2.0,
        "peer_learning.rounds": 3,
    },
}
"""Settings that differ between the data sets, chosen on *valid* with seed 0."""
VARIANTS: tuple[Variant, ...] = ("sample-selector", "metaselector")

app = new_app()


@app.command()
def main(
    run: RunsOption = Path("runs/teaching"),
    seeds: SeedsOption = 5,
    joint_seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Seeds to train MetaSelector with.", show_default="all"),
    ] = None,
    config: ConfigOption = CONFIG,
    data: DataOption = None,
    output: OutputOption = Path("benchmarks/results/teaching"),
) -> None:
    """Train with each strategy on both data sets and compare the strategies."""
    started, progress = time.perf_counter(), Bars()
    settings, table = study.load(config, seeds, data)
    made = {}
    for labels in LABELS:
        for strategy in STRATEGIES:
            each = Run(run / f"{labels}-{strategy}", _of(settings, labels, strategy))
            if not each.is_prepared:
                _prepare(each, table, run)
            save_config(each)
            made[labels, strategy] = Run(each.directory, each.config)
    joint = settings.seeds[:joint_seeds]
    for seed in settings.seeds:  # seed by seed, so an interrupted run leaves whole seeds
        for each in made.values():
            only = Run(each.directory, each.config.model_copy(update={"seeds": (seed,)}))
            pretrain_base_models(only, progress)
            if seed in joint:
                meta_train_selectors(only, progress, VARIANTS)
    predictions = {key: _predictions(each, joint, progress) for key, each in made.items()}
    compared = compare(predictions, settings.evaluate.resamples, progress)
    rounds = pd.concat([convergence(each, labels) for (labels, _), each in made.items()])
    described = study.describe(
        made["all", "independent"],
        started,
        sum(_training_seconds(each, joint) for each in made.values()),
    )
    texts = {
        "teaching.csv": compared.to_csv(index=False),
        "rounds.csv": rounds.to_csv(index=False),
        "teaching.md": page(compared, rounds, made, described["command"]),
    }
    study.write_results(output, texts, described)


def _of(settings: Config, labels: str, strategy: str) -> Config:
    changes = {**LABELS[labels], "peer_learning.strategy": strategy}
    if labels == "few":
        # Of 100 rows, a tenth of the first 90 leaves 9 of 19: the windows end at these percentages.
        split = settings.split
        of = split.valid * FEW / 100 + 100 - split.valid
        for window in ("early", "train", "valid"):
            changes[f"split.{window}"] = math.ceil(getattr(split, window) * FEW / of)
    return change_config(settings, changes)


def _prepare(run: Run, table: InteractionTable, folder: Path) -> None:
    """Encode the data of a run: all rows, or those that :func:`few_rows` keeps."""
    if run.directory.name.startswith("all"):
        study.encode(run, table)
        return
    kept = few_rows(EncodedDataset.load(folder / f"all-{STRATEGIES[0]}" / "data"))

    def select(block: Interactions, position: int) -> NDArray[np.int64]:
        rows = np.arange(position, position + len(block.lines))
        return np.flatnonzero(np.isin(rows, kept))

    study.encode(run, table, select)


def few_rows(whole: EncodedDataset) -> NDArray[np.int64]:
    """Rows of the file to keep: all of *test*, and a tenth of each user's others, at least 3."""
    generator, kept = np.random.default_rng(0), []
    starts = boundaries(whole.user_offsets, whole.schema.windows[-1])
    for first, test, stop in zip(
        whole.user_offsets[:-1], starts, whole.user_offsets[1:], strict=True
    ):
        size = max(round((test - first) * FEW / 100), 3)
        kept += [generator.choice(np.arange(first, test), size, replace=False)]
        kept += [np.arange(test, stop)]
    return np.sort(whole.source_rows[np.concatenate(kept)])


def _predictions(run: Run, joint: Sequence[int], progress: Progress) -> pd.DataFrame:
    """Long table of predictions on *test* by each base model and by joint MetaSelector."""
    (evaluation_split,) = run.protocol.evaluation_splits
    rows, limits = evaluation_split.test.flat("query")
    found = []
    with progress.task(f"predict {run.directory.name}", len(run.config.seeds)) as advance:
        for seed in run.config.seeds:
            for name in run.config.base_models:
                model = run.checkpoints.load_base(name, "full", seed)
                p = torch.sigmoid(predict(model, run.dataset, rows, limits).double())
                found.append(long_table(seed, name, run.dataset, rows, p.numpy()))
            if seed in joint:
                found.append(_joint(run, seed))
            advance()
    return pd.concat(found, ignore_index=True)


def _joint(run: Run, seed: int) -> pd.DataFrame:
    (evaluation_split,) = run.protocol.evaluation_splits
    model = run.checkpoints.load_adapted("metaselector", seed)
    made = model.predict(run.dataset, evaluation_split.test)
    return long_table(seed, "metaselector", run.dataset, made.rows, made.probabilities)


def _training_seconds(run: Run, joint: Sequence[int]) -> float:
    of_base = study.training_seconds(run, ("early", "train", "full"))
    return of_base + sum(
        run.checkpoints.learned_record(variant, seed).seconds
        for seed in joint
        for variant in VARIANTS
    )


if __name__ == "__main__":
    run_app(app)

"""Base models that teach each other against base models trained alone.

    python -m benchmarks.teaching --seeds 5

writes ``benchmarks/results/teaching/``: of MovieLens-100K with all rows, and with a tenth of the
rows before *test*, the metrics of each base model and of joint MetaSelector on top of them. What
was trained before is used again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray

from benchmarks.command import DataOption, new_app
from benchmarks.command import run as run_app
from benchmarks.movielens import files
from benchmarks.teaching_metrics import compare
from benchmarks.teaching_page import convergence, page
from metaselector.common.files import atomic_directory, write_text
from metaselector.common.progress import Bars, Progress
from metaselector.config import Config, change_config, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.settings import Settings
from metaselector.data.registry import read
from metaselector.data.splitting.windows import Windows, boundaries
from metaselector.evaluate.predictions import long_table
from metaselector.meta.variants import Variant
from metaselector.runs import environment
from metaselector.runs.adapted import load_adapted
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.training.predict import predict

CONFIG = Path(__file__).parent / "configs" / "teaching.yaml"
STRATEGIES = ("independent", "mutual", "co-training")
FEW = 10
"""Percent of the rows before *test* that are left in the few-shot data."""
LABELS: Mapping[str, Mapping[str, Any]] = {
    "all": {"peer_learning.growth": 0.25, "peer_learning.most": 0.5, "peer_learning.rounds": 2},
    "few": {
        "peer_learning.weight": 10.0,
        "peer_learning.growth": 1.0,
        "peer_learning.most": 2.0,
        "peer_learning.rounds": 3,
    },
}
"""Of each data set the settings that differ, chosen on *valid* of seed 0."""
VARIANTS: tuple[Variant, ...] = ("sample-selector", "metaselector")

app = new_app()


@app.command()
def main(
    run: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("runs/teaching"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 to this number less one.")] = 5,
    joint_seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="The first seeds that MetaSelector is trained with.", show_default="all"
        ),
    ] = None,
    config: Annotated[Path, typer.Option(help="YAML file of settings.")] = CONFIG,
    data: DataOption = None,
    output: Annotated[Path, typer.Option(help="Where the results go.")] = Path(
        "benchmarks/results/teaching"
    ),
) -> None:
    """Train with every strategy on both data sets, seed by seed; keep the table."""
    started = time.perf_counter()
    settings = load_config(config, changes={"seeds": list(range(seeds)), "threads": 1})
    torch.set_num_threads(settings.threads)
    table, progress = read(settings.dataset, files(data)), Bars()
    made = {}
    for labels in LABELS:
        for strategy in STRATEGIES:
            each = Run(run / f"{labels}-{strategy}", _of(settings, labels, strategy))
            if not each.is_prepared:
                _prepare(each, table, run)
            save_config(each)
            made[labels, strategy] = Run(each.directory, each.config)
    joint = settings.seeds[:joint_seeds]
    for seed in settings.seeds:  # all of a seed first, so that an early end leaves whole seeds
        for each in made.values():
            only = Run(each.directory, each.config.model_copy(update={"seeds": (seed,)}))
            pretrain_base_models(only, progress)
            if seed in joint:
                meta_train_selectors(only, progress, VARIANTS)
    predictions = {key: _predictions(each, joint, progress) for key, each in made.items()}
    compared = compare(predictions, settings.evaluate.resamples, progress)
    rounds = pd.concat([convergence(each, labels) for (labels, _), each in made.items()])
    first = made["all", "independent"]
    made_with = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=sum(_training_seconds(each, joint) for each in made.values()),
        threads=settings.threads,
        device=settings.device,
        data_sha256=first.dataset.digest(),
    )
    texts = {
        "teaching.csv": compared.to_csv(index=False),
        "rounds.csv": rounds.to_csv(index=False),
        "teaching.md": page(compared, rounds, made, made_with["command"]),
        "environment.json": json.dumps(made_with, indent=1) + "\n",
    }
    for name, text in texts.items():
        write_text(output / name, text)
        typer.echo(output / name)


def _of(settings: Config, labels: str, strategy: str) -> Config:
    changes = {**LABELS[labels], "peer_learning.strategy": strategy}
    if labels == "few":
        # A tenth of the first 90 of 100 rows are 9 of 19: where the same windows end in these.
        split = settings.split
        of = split.valid * FEW / 100 + 100 - split.valid
        for window in ("early", "train", "valid"):
            changes[f"split.{window}"] = math.ceil(getattr(split, window) * FEW / of)
    return change_config(settings, changes)


def _prepare(run: Run, table: InteractionTable, folder: Path) -> None:
    """Encode the data of a run: all rows, or those that are left of them."""
    config, split = run.config, run.config.split
    encoding = Settings(
        windows=Windows(split.early, split.train, split.valid),
        label_threshold=config.data.label_threshold,
        history_length=config.data.history_length,
        min_count=config.data.min_count,
    )
    if not run.directory.name.startswith("all"):
        whole = EncodedDataset.load(folder / f"all-{STRATEGIES[0]}" / "data")
        table = replace(table, read=partial(_some, table, few_rows(whole)), repairs=[])
    with atomic_directory(run.data_directory) as directory:
        encode_to(table, directory, encoding)


def few_rows(whole: EncodedDataset) -> NDArray[np.int64]:
    """Rows of the file: of each user's before *test* a tenth, at least 3, and all of *test*."""
    generator, kept = np.random.default_rng(0), []
    starts = boundaries(whole.user_offsets, whole.schema.windows[-1])
    for first, test, stop in zip(
        whole.user_offsets[:-1], starts, whole.user_offsets[1:], strict=True
    ):
        size = max(round((test - first) * FEW / 100), 3)
        kept += [generator.choice(np.arange(first, test), size, replace=False)]
        kept += [np.arange(test, stop)]
    return np.sort(whole.source_rows[np.concatenate(kept)])


def _some(table: InteractionTable, rows: NDArray[np.int64]) -> Iterator[Interactions]:
    position = 0
    for block in table.read():
        inside = np.flatnonzero(np.isin(np.arange(position, position + len(block.lines)), rows))
        position += len(block.lines)
        yield Interactions(
            block.user.take(inside),
            block.item.take(inside),
            block.labels[inside],
            block.timestamps[inside],
            block.lines[inside],
        )


def _predictions(run: Run, joint: Sequence[int], progress: Progress) -> pd.DataFrame:
    """The long table of *test*: every base model, and joint MetaSelector."""
    (evaluation_split,) = run.protocol.evaluation_splits
    rows, limits = evaluation_split.test.flat("query")
    found = []
    with progress.task(f"predict {run.directory.name}", len(run.config.seeds)) as advance:
        for seed in run.config.seeds:
            for name in run.config.base_models:
                model = run.load_base(name, "full", seed)[0]
                p = torch.sigmoid(predict(model, run.dataset, rows, limits).double())
                found.append(long_table(seed, name, run.dataset, rows, p.numpy()))
            if seed in joint:
                found.append(_joint(run, seed))
            advance()
    return pd.concat(found, ignore_index=True)


def _joint(run: Run, seed: int) -> pd.DataFrame:
    (evaluation_split,) = run.protocol.evaluation_splits
    model = load_adapted(run, "metaselector", seed)
    made = model.predict(run.dataset, evaluation_split.test)
    return long_table(seed, "metaselector", run.dataset, made.rows, made.probabilities)


def _training_seconds(run: Run, joint: Sequence[int]) -> float:
    of_base = sum(
        run.load_base(name, window, seed)[1].seconds
        for seed in run.config.seeds
        for name in run.config.base_models
        for window in ("early", "train", "full")
    )
    return of_base + sum(
        run.load_learned(variant, seed).seconds for seed in joint for variant in VARIANTS
    )


if __name__ == "__main__":
    run_app(app)

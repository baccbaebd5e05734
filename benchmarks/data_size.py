"""How batch size and weight decay should fit the size of the data, on *valid*.

    python -m benchmarks.data_size --dataset movielens-1m --data ml-1m-reconstructed.zip

writes ``benchmarks/results/data-size/<dataset>.csv`` and ``.md``. The default base models are
trained on *train* of known users with what the defaults give data of this size, and with what was
chosen for MovieLens-100K. *Test* is not read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
import torch
import typer

from benchmarks import study
from benchmarks.command import OutputOption, RawFilesOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.progress import Bars
from metaselector.config import Config
from metaselector.config.models import SINGLE_TASK
from metaselector.config.training import SMALLEST_BATCH
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models


class Way(NamedTuple):
    """How settings are carried over from MovieLens-100K.

    Attributes:
        batch: whether the batch size fits the size of the data.
        decay: whether the weight decay does.
        rate: whether the learning rate grows with the square root of the batch size.
    """

    batch: bool
    decay: bool
    rate: bool = False


WAYS = {
    "default": Way(batch=True, decay=True),
    "batch size of MovieLens-100K": Way(batch=False, decay=True),
    "weight decay of MovieLens-100K": Way(batch=True, decay=False),
    "both of MovieLens-100K": Way(batch=False, decay=False),
    "learning rate grows with the batch": Way(batch=True, decay=True, rate=True),
}

app = new_app()


@app.command()
def main(
    dataset: Annotated[str, typer.Option(help="Name of the data set.")] = "movielens-1m",
    run: Annotated[
        Path | None, typer.Option(help="Run directory.", show_default="runs/data-size-<dataset>")
    ] = None,
    data: RawFilesOption = None,
    output: OutputOption = Path("benchmarks/results/data-size"),
) -> None:
    """Train base models with settings that do and do not fit the size of the data."""
    started = time.perf_counter()
    settings = Config(dataset=dataset, seeds=(0,), threads=1)
    torch.set_num_threads(settings.threads)
    made = Run(run or Path("runs") / f"data-size-{dataset}", settings)
    if not made.is_prepared:
        prepare_run(made, data, Path("data"))
    rows = len(made.dataset)
    entries = dict(_entries(rows))
    models = {name: model for name, (_, _, model) in entries.items()}
    trained = Run(made.directory, Config(**{**settings.model_dump(), "base_models": models}))
    pretrain_base_models(trained, Bars(), windows=["train"])
    table = pd.DataFrame([_record(trained, name, *entries[name][:2]) for name in entries])
    described = study.describe(made, started, float(table["seconds"].sum()))
    texts = {
        f"{dataset}.csv": table.to_csv(index=False, float_format="%.6g"),
        f"{dataset}.md": page(table, dataset, rows, described["command"]),
    }
    study.write_results(output, texts)


def _entries(rows: int) -> Iterator[tuple[str, tuple[str, str, dict[str, Any]]]]:
    """Base models by a name of their own: model, way and settings; ways that agree come once."""
    for model, described in SINGLE_TASK.items():
        seen: list[Any] = []
        for number, (way, fits) in enumerate(WAYS.items()):
            given = Config().base_models[model].pretrain
            fitting = given.for_rows(rows)
            batch = fitting.rows_per_step if fits.batch else SMALLEST_BATCH
            rate = given.learning_rate * ((batch / SMALLEST_BATCH) ** 0.5 if fits.rate else 1)
            decay = (fitting if fits.decay else given).weight_decay
            pretrain = {"batch_size": batch, "learning_rate": rate, "weight_decay": decay}
            if pretrain not in seen:
                seen.append(pretrain)
                options = described.get("options", {})
                entry = {"model": model, "options": options, "pretrain": pretrain}
                yield f"{model}-{number}", (model, way, entry)


def _record(run: Run, name: str, model: str, way: str) -> dict[str, Any]:
    pretrain = run.config.base_models[name].pretrain
    made = run.checkpoints.base_record(name, "train", run.config.seeds[0])
    return {
        "model": model,
        "settings": way,
        "batch_size": pretrain.batch_size,
        "learning_rate": pretrain.learning_rate,
        "weight_decay": pretrain.weight_decay,
        "valid_logloss": min(epoch["valid_loss"] for epoch in made.history),
        "epochs": len(made.history),
        "seconds": made.seconds,
    }


def page(table: pd.DataFrame, dataset: str, rows: int, command: str) -> str:
    """Markdown with a line for each model and way.

    Args:
        table: what the command writes as CSV.
        rows: of the data set.
    """
    lines = [
        f"## {dataset}",
        "",
        f"{rows:,} rows; known users, seed 0, one thread. *valid*: logloss of the best epoch on "
        "*valid*, by which each training stops.",
        "",
        f"Command: `{command}`",
        "",
        "| model | settings | batch | learning rate | weight decay | *valid* | epochs | seconds |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row.model} | {row.settings} | {row.batch_size} | {row.learning_rate:.3g} | "
        f"{row.weight_decay:.3g} | {row.valid_logloss:.4f} | {row.epochs} | {row.seconds:.0f} |"
        for row in table.itertuples()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_app(app)

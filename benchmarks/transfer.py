"""Few users of one's own, many of somebody else's: base models transferred against from scratch.

    python -m benchmarks.transfer --seeds 5

writes ``benchmarks/results/transfer/``. A tenth of the users of MovieLens-100K, drawn as the
protocol of new users draws them, are the target, whose later rows are predicted; models that were
trained on the other users' rows are where transferred ones start. What was trained before is used
again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from benchmarks.command import DataOption, new_app
from benchmarks.command import run as run_app
from benchmarks.movielens import files
from metaselector.common.files import atomic_directory, write_text
from metaselector.common.progress import Bars, Progress
from metaselector.config import change_config, load_config
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.parts import Settings
from metaselector.data.registry import read
from metaselector.data.splitting.protocol import Window
from metaselector.data.splitting.windows import Windows, user_places
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.metrics import METRICS
from metaselector.evaluate.predictions import long_table
from metaselector.runs import environment
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.start import start
from metaselector.runs.stages.train import pretrain_base_models
from metaselector.training.predict import predict

TARGET_FROM = 90
"""Percent of the users before the target's, in the order of their places."""
WINDOWS: tuple[Window, ...] = ("train", "full")
SCRATCH, UNTRAINED = "from scratch", "transferred, not trained"
KINDS: dict[str, dict[str, Any]] = {
    SCRATCH: {},
    "transferred": {"freeze": ()},
    "transferred, thawing": {
        "freeze": ("*.linear.weight", "*.embedding.weight"),
        "unfreeze_every": 2,
    },
}
"""How the target's models are trained: the settings ``transfer``, but for where the source is."""
COMPARED = ("auc", "logloss")

app = new_app()


@app.command()
def main(
    run: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("runs/transfer"),
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 to this number less one.")] = 5,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings.", show_default="the defaults")
    ] = None,
    data: DataOption = None,
    output: Annotated[Path, typer.Option(help="Where the results go.")] = Path(
        "benchmarks/results/transfer"
    ),
) -> None:
    """Train on the source, then on the target in every way; keep the table."""
    started = time.perf_counter()
    settings = load_config(config, changes={"seeds": list(range(seeds)), "threads": 1})
    torch.set_num_threads(settings.threads)
    table, progress = read(settings.dataset, files(data)), Bars()
    source = Run(run / "source", settings)
    _prepare(source, table, of_target=False)
    pretrain_base_models(source, progress, WINDOWS)
    made: dict[str, Run] = {}
    for kind, transfer in KINDS.items():
        origin = {"init_from": str(source.directory)} if kind != SCRATCH else {}
        chosen = change_config(settings, {"transfer": {**transfer, **origin}})
        made[kind] = Run(run / kind.replace(", ", "-").replace(" ", "-"), chosen)
        _prepare(made[kind], table, of_target=True)
        pretrain_base_models(made[kind], progress, WINDOWS)
    compared = _compare(made, progress)
    for name, run_of in (("source", source), ("target", made[SCRATCH])):
        compared[f"{name}_users"] = run_of.dataset.num_users
    write_text(output / "transfer.csv", compared.to_csv(index=False))
    made_with = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=sum(_training_seconds(each) for each in (source, *made.values())),
        threads=settings.threads,
        device=settings.device,
        data_sha256=made[SCRATCH].dataset.digest(),
    )
    write_text(output / "environment.json", json.dumps(made_with, indent=1) + "\n")
    write_text(output / "transfer.md", _markdown(compared, made[SCRATCH], made_with["command"]))
    for file in ("transfer.csv", "transfer.md", "environment.json"):
        typer.echo(output / file)


def _prepare(run: Run, table: InteractionTable, *, of_target: bool) -> None:
    """Encode the rows of the target's users, or of all others, as data of their own."""
    config, split = run.config, run.config.split
    some = replace(table, read=partial(_rows, table, of_target), repairs=[])
    encoding = Settings(
        windows=Windows(split.early, split.train, split.valid),
        label_threshold=config.data.label_threshold,
        history_length=config.data.history_length,
        min_count=config.data.min_count,
    )
    with atomic_directory(run.data_directory) as directory:
        encode_to(some, directory, encoding)
    save_config(run)


def _rows(table: InteractionTable, of_target: bool) -> Iterator[Interactions]:
    for block in table.read():
        names = [str(user) for user in block.user.to_pylist()]
        inside = np.flatnonzero((user_places(names, 0) >= TARGET_FROM) == of_target)
        yield Interactions(
            block.user.take(inside),
            block.item.take(inside),
            block.labels[inside],
            block.timestamps[inside],
            block.lines[inside],
        )


def _compare(made: dict[str, Run], progress: Progress) -> pd.DataFrame:
    """Every kind's metrics on the target's test rows, and its difference to no transfer."""
    predictions = pd.concat(_predicted(made))
    first = made[SCRATCH]
    scores = resample(
        predictions,
        COMPARED,
        first.config.evaluate.resamples,
        np.random.default_rng(0),
        progress,
    )
    records = []
    for model in first.config.base_models:
        for kind in (*KINDS, UNTRAINED):
            name, base = f"{model} {kind}", f"{model} {SCRATCH}"
            of_kind = predictions[predictions["model"] == name]
            for metric in COMPARED:
                by_seed = [
                    METRICS[metric](g["y"], g["p"], g["user"]) for _, g in of_kind.groupby("seed")
                ]
                pairs = dict.fromkeys(first.config.seeds, (name, base))
                compared = difference(scores[metric], pairs)._asdict() if kind != SCRATCH else {}
                records.append(
                    {
                        "model": model,
                        "kind": kind,
                        "metric": metric,
                        "value": float(np.mean(by_seed)),
                        "sd": float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else 0.0,
                        **compared,
                        "seeds": len(by_seed),
                    }
                )
    return pd.DataFrame(records)


def _predicted(made: dict[str, Run]) -> Iterator[pd.DataFrame]:
    for kind, run in made.items():
        (evaluation_split,) = run.protocol.evaluation_splits
        rows, limits = evaluation_split.test.flat("query")
        for seed in run.config.seeds:
            for name in run.config.base_models:
                models = {kind: run.load_base(name, "full", seed)[0]}
                if kind == "transferred":
                    models[UNTRAINED] = run.new_base(name, seed)
                    start(run, name, "full", seed, models[UNTRAINED])
                for how, model in models.items():
                    p = torch.sigmoid(predict(model, run.dataset, rows, limits).double())
                    yield long_table(seed, f"{name} {how}", run.dataset, rows, p.numpy())


def _training_seconds(run: Run) -> float:
    return sum(
        run.load_base(name, window, seed)[1].seconds
        for seed in run.config.seeds
        for name in run.config.base_models
        for window in WINDOWS
    )


def _markdown(table: pd.DataFrame, target: Run, command: str) -> str:
    (evaluation_split,) = target.protocol.evaluation_splits
    tested, config = len(evaluation_split.test.flat("query")[0]), target.config
    train = len(target.protocol.fitting_rows("full"))
    source_users, users = table["source_users"].iloc[0], table["target_users"].iloc[0]
    lines = [
        "## Transfer to new users' data",
        "",
        f"MovieLens-100K. Target: {users:,} users, {train:,} rows of theirs to train and validate "
        f"on, the last {tested:,} to predict. Source: all rows but the last tenth of the other "
        f"{source_users:,} users. No user is in both, and so no row; users' own embeddings start "
        "from nothing. The source's rows may be later than the target's. Settings are the defaults,"
        " chosen on all users' valid window. Mean ± standard deviation over "
        f"{len(config.seeds)} seed(s). Δ: minus from scratch, with the 95 % interval of the paired "
        f"bootstrap over the target's users ({config.evaluate.resamples:,} resamples), which says "
        "what other users would have changed; neither interval nor p is corrected for the number "
        "of lines. thawing: the tables wait, embeddings for 2 epochs and linear weights for 4.",
        "",
        f"Command: `{command}`",
        "",
        "| model | trained | AUC | Δ AUC | p | logloss | Δ logloss | p |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (model, kind), of_line in table.groupby(["model", "kind"], sort=False):
        cells = [str(model), str(kind)]
        for each in of_line.itertuples():
            cells.append(f"{each.value:.4f} ± {each.sd:.4f}")
            low, high = f"{each.low:+.4f}", f"{each.high:+.4f}"
            shown = kind != SCRATCH
            cells.append(f"{each.difference:+.4f} [{low}, {high}]" if shown else "")
            cells.append(f"{each.p:.4f}" if shown else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_app(app)

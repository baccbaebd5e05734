"""Ablations: the settings of the long table with one change at a time.

    python -m benchmarks.ablations

writes ``benchmarks/results/<dataset>-ablations/``, and with ``--seeds 3`` its folder ``3-seeds/``.
The base models are those of the long table's run; missing ones are trained first, and models that
are already trained are reused. Changes are compared on *valid*, which was used to choose settings,
and on *test*, which was not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from benchmarks import cross_fit, study
from benchmarks.changes import CROSS_FITTED, UNCHANGED, Change, choose_changes, load_changes
from benchmarks.command import ConfigOption, RawFilesOption, SeedsOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.errors import ConfigError
from metaselector.common.progress import Bars, Progress, Silent
from metaselector.config import change_config, load_config
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.metrics import auc
from metaselector.evaluate.predictions import long_table
from metaselector.meta.adapted import WindowPredictions
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import Variant
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models, train_variant

CONFIG = Path(__file__).parent / "configs" / "tables.yaml"
CHANGES = Path(__file__).parent / "configs" / "ablations-movielens-100k.yaml"
app = new_app()


@dataclass(frozen=True)
class Made:
    """Result of one row with one seed: its loss on *valid* and its predictions on *test*."""

    valid_logloss: float
    seconds: float
    test: WindowPredictions


@app.command()
def main(
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run of the long table, whose data and base models are reused; the changes are "
            "kept inside it.",
            show_default="runs/<dataset>-warm",
        ),
    ] = None,
    seeds: SeedsOption = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Name of a change to make; may be repeated.", show_default="all"),
    ] = None,
    changes: Annotated[Path, typer.Option(help="YAML file of the changes.")] = CHANGES,
    config: ConfigOption = CONFIG,
    data: RawFilesOption = None,
    output: Annotated[
        Path, typer.Option(help="Folder to write <dataset>-ablations/ with the results to.")
    ] = Path("benchmarks/results"),
) -> None:
    """Train MetaSelector with each change and compare the results."""
    started = time.perf_counter()
    settings = load_config(config, changes={"seeds": list(range(seeds))})
    torch.set_num_threads(settings.threads)
    directory = run or Path("runs") / f"{settings.dataset}-warm"
    base = Run(directory, settings)
    listed = choose_changes(load_changes(changes), only)
    runs = [(each, _run_of(base, each)) for each in listed]  # check all settings first
    progress = Bars()
    if not base.data_directory.exists():
        prepare_run(base, data, Path("data"))
    pretrain_base_models(base, progress)
    table = _table(base, runs, progress)
    target = output / f"{settings.dataset}-ablations"
    target = target / f"{seeds}-seeds" if seeds > 1 else target
    described = study.describe(base, started, float(table["seconds"].sum()))
    texts = {
        "ablations.csv": table.to_csv(index=False),
        "ablations.md": _markdown(table, described["command"]),
    }
    study.write_results(target, texts, described)


def _run_of(base: Run, change: Change) -> Run:
    """The run of one change, inside the table's run."""
    try:
        config = change_config(base.config, change.settings)
    except ConfigError as error:
        raise ConfigError(f"{change.group}: {change.name}: {error}") from error
    folder = re.sub(r"[^a-z0-9]+", "-", f"{change.group} {change.name}".lower())
    return Run(base.directory / "ablations" / folder, config, parent=base.directory)


def _table(base: Run, runs: list[tuple[Change, Run]], progress: Progress) -> pd.DataFrame:
    rows: tuple[Variant, ...] = ("metaselector-simplified", "metaselector")
    unchanged = Change("", UNCHANGED, rows, {})
    runs = [(unchanged, _run_of(base, unchanged)), *runs]
    records = []
    for row in rows:
        lines = [(change, run) for change, run in runs if row in change.rows]
        tables = []
        for change, run in lines:
            for seed, made in _made(run, change, row, progress):
                tables.append(_long(base, seed, change, made))
                records.append(
                    {
                        "row": row,
                        "group": change.group,
                        "change": change.name,
                        "seed": seed,
                        "valid_logloss": made.valid_logloss,
                        "logloss": made.test.loss(),
                        "auc": auc(base.dataset.labels[made.test.rows], made.test.probabilities),
                        "seconds": made.seconds,
                    }
                )
        _compare(records, row, [change for change, _ in lines], pd.concat(tables), base)
    of_seeds = pd.DataFrame(records)
    keys = ["row", "group", "change"]
    without = of_seeds.groupby(["row", "seed"])["logloss"].transform("first")
    of_seeds["of_seed"] = of_seeds["logloss"] - without
    return of_seeds.groupby(keys, sort=False, as_index=False).agg(
        seeds=("seed", "count"),
        logloss_std=("logloss", "std"),
        difference_std=("of_seed", "std"),
        **{
            name: (name, "mean")
            for name in ("valid_logloss", "logloss", "auc", "difference", "low", "high", "seconds")
        },
    )


def _made(run: Run, change: Change, row: Variant, progress: Progress) -> Iterator[tuple[int, Made]]:
    """Train or load one row and predict *test*, seed by seed."""
    save_config(run)
    pretrain_base_models(run, Silent())  # only those that a change adds
    for seed in run.config.seeds:
        for variant in dict.fromkeys(("sample-selector", row)):
            if not run.checkpoints.has_learned(variant, seed):
                learned = _learn(run, change, variant, seed, progress)
                run.checkpoints.save_learned(variant, seed, learned)
        learned = run.checkpoints.load_learned(row, seed)
        (evaluation_split,) = run.protocol.evaluation_splits
        model = run.checkpoints.load_adapted(row, seed, change.test_with)
        found = model.predict(run.dataset, evaluation_split.test)
        valid = min(epoch["valid_loss"] for epoch in learned.history)
        yield seed, Made(valid, learned.seconds, found)


def _learn(
    run: Run, change: Change, variant: Variant, seed: int, progress: Progress
) -> MetaParameters:
    description = f"{change.name}, seed {seed}: {variant}"
    if change.learn_on != CROSS_FITTED:
        return train_variant(
            run,
            variant,
            seed,
            learn_on=change.learn_on,
            description=description,
            progress=progress,
        )
    first = variant == "sample-selector"
    start_from = None if first else run.checkpoints.load_learned("sample-selector", seed)
    return cross_fit.meta_train(
        variant, run, seed, start_from=start_from, description=description, progress=progress
    )


def _long(base: Run, seed: int, change: Change, made: Made) -> pd.DataFrame:
    name = f"{change.group}: {change.name}"
    return long_table(seed, name, base.dataset, made.test.rows, made.test.probabilities)


def _compare(
    records: list[dict[str, Any]],
    row: str,
    lines: list[Change],
    predictions: pd.DataFrame,
    base: Run,
) -> None:
    """Add to `records` the difference in logloss between each change and no change."""
    resamples = base.config.evaluate.resamples
    scores = resample(predictions, ["logloss"], resamples, np.random.default_rng(0))["logloss"]
    seeds, unchanged = base.config.seeds, f": {UNCHANGED}"
    for change in lines:
        name = f"{change.group}: {change.name}"
        found = difference(scores, dict.fromkeys(seeds, (name, unchanged)))
        for record in records:
            if (record["row"], record["group"], record["change"]) == (row, *change[:2]):
                record |= found._asdict()


def _markdown(table: pd.DataFrame, command: str) -> str:
    seeds = int(table["seeds"].max())
    lines = [
        "## What each part does",
        "",
        f"One change at a time to the settings of the table; mean of {seeds} seed(s). valid: "
        "logloss of the best epoch on the window that settings and epochs were chosen on. Δ: "
        "logloss on test minus that without the change, with the 95 % interval of the paired "
        "bootstrap over users, not corrected for the number of rows in the table; above 0 the "
        "change is worse. The intervals do not include what another seed would change."
        + (" ±: standard deviation over the seeds." if seeds > 1 else ""),
        "",
        f"Command: `{command}`",
        "",
    ]
    for row, of_row in table.groupby("row", sort=False):
        lines += [
            f"### {row}",
            "",
            "| group | change | valid | logloss | AUC | Δ | interval | training s |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        for each in of_row.itertuples():
            cells = [
                str(each.group),
                str(each.change),
                f"{each.valid_logloss:.4f}",
                f"{each.logloss:.4f}{_spread(each.logloss_std)}",
                f"{each.auc:.4f}",
                f"{each.difference:+.4f}{_spread(each.difference_std)}" if each.group else "",
                f"[{each.low:+.4f}, {each.high:+.4f}]" if each.group else "",
                f"{each.seconds:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _spread(std: Any) -> str:
    """The standard deviation; empty for one seed."""
    return "" if np.isnan(std) else f" ± {std:.4f}"


if __name__ == "__main__":
    run_app(app)

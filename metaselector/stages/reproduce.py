"""All steps in a row, and what each leaves for the reader."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console

from metaselector import environment
from metaselector.files import write_text
from metaselector.progress import Progress
from metaselector.report.figures import write_figures
from metaselector.report.tables import print_summary, write_tables
from metaselector.run_directory import Run, save_config
from metaselector.stages.evaluate import evaluate
from metaselector.stages.prepare import prepare_run
from metaselector.stages.train import meta_train_selectors, pretrain_base_models


def evaluate_and_report(run: Run, progress: Progress, started: float | None = None) -> None:
    """Evaluate, then write and print tables and figures.

    Args:
        started: ``time.perf_counter()`` when the command began, if more than evaluation is counted.
    """
    started = time.perf_counter() if started is None else started
    evaluate(run, progress)
    made_with = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=run.training_seconds(),
        threads=run.config.threads,
        device=run.config.device,
        data_sha256=run.dataset.digest(),
    )
    write_text(run.directory / "environment.json", json.dumps(made_with, indent=1) + "\n")
    save_config(run)
    with progress.task("tables and figures", 2) as advance:
        tables = write_tables(run.directory)
        advance()
        figures = write_figures(run.directory)
        advance()
    console = Console()
    print_summary(run.directory, console)
    for path in (run.directory / "results.csv", *tables, *figures):
        console.print(str(path), highlight=False, soft_wrap=True)


def reproduce(run: Run, source: Path | None, data_directory: Path, progress: Progress) -> None:
    """From raw data to tables and figures; checkpoints with the same settings are used again."""
    started = time.perf_counter()
    with progress.task("prepare data", 1) as advance:
        prepare_run(run, source, data_directory)
        advance()
    pretrain_base_models(run, progress)
    meta_train_selectors(run, progress)
    evaluate_and_report(run, progress, started)

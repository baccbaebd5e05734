"""The whole pipeline, from raw files to tables and figures."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from metaselector.common.errors import CheckpointError, DataError
from metaselector.common.files import write_text
from metaselector.common.progress import Progress
from metaselector.common.streams import console, put_out, say
from metaselector.config.plugins.consent import named_code
from metaselector.data.preparation.origin import load_origin
from metaselector.report.as_json import as_text, run_results
from metaselector.report.figures.run import write_figures
from metaselector.report.support import SUPPORT_FILE
from metaselector.report.tables import print_summary, write_tables
from metaselector.report.tasks import TASKS_FILE
from metaselector.report.terminal import cell
from metaselector.runs import environment
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stage_costs import complete_stages, measured, save_stages
from metaselector.runs.stages.evaluate import Tested, evaluate, help_evaluate, own_metrics
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.side_by_side import check_alone, side_by_side
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.training.distributed import workers
from metaselector.training.distributed.launch import restarted


def evaluate_and_report(
    run: Run,
    progress: Progress,
    started: float | None = None,
    command: str | None = None,
    *,
    as_json: bool = False,
    tested: Tested | None = None,
) -> None:
    """Evaluate, write tables and figures, and print the summary.

    ``stages.csv`` says what each stage cost, earlier commands included.

    Args:
        started: ``time.perf_counter()`` at the start of the command, if that was earlier.
        command: the command that tables name; by default this process's.
        as_json: print everything as JSON instead.
        tested: predictions of *test*, if they have been made.
    """
    started = time.perf_counter() if started is None else started
    if not workers.is_main():
        help_evaluate(run)
        return
    progress = measured(run, progress)
    evaluate(run, progress, tested)
    made_with = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=run.checkpoints.training_seconds(),
        threads=run.config.threads_of_process,
        device=run.config.device,
        data_sha256=run.dataset.digest(),
    )
    if command is not None:
        made_with["command"] = command
    if origin := load_origin(run.data_directory):
        made_with |= {"data_title": origin.title, "data_limit": origin.limit}
    if run.config.evaluate.max_users is not None:
        made_with["max_users"] = run.config.evaluate.max_users
    save_config(run)
    folders = _folders(run)
    with progress.task("tables and figures", 2 * len(folders)) as advance:
        for folder in folders:
            write_text(folder / "environment.json", json.dumps(made_with, indent=1) + "\n")
            tables = write_tables(folder)
            advance()
            figures = write_figures(folder)
            advance()
    save_stages(run.directory, complete_stages(run))
    numbers = next(
        name
        for name in (TASKS_FILE, SUPPORT_FILE, "results.csv")
        if (run.directory / name).exists()
    )
    written = (*folders[:-1], run.directory / numbers, *tables, *figures)
    if as_json:
        put_out(as_text(run_results(run.directory, folders, written)))
        return
    printer = console()
    print_summary(run.directory, printer)
    for path in written:
        say(path)
    consent = ["--allow-code"] if named_code(run.config.model_dump(mode="json")) else []
    page = shlex.join(["metaselector", "report", str(run.directory), *consent])
    printer.print(cell(f"as one page: {page}"), style="dim", highlight=False, soft_wrap=True)


def _folders(run: Run) -> list[Path]:
    """Return the folders that get a summary, each overview after what it covers."""
    found = []
    for task in run.task_folders:
        found += [
            run.directory / task / evaluation_split.folder
            for evaluation_split in run.protocol.evaluation_splits
        ]
        found.append(run.directory / task)
    return list(dict.fromkeys([*found, run.directory]))


def reproduce(
    run: Run,
    source: Path | None,
    data_directory: Path,
    progress: Progress,
    *,
    prepared: bool = False,
    command: str | None = None,
    as_json: bool = False,
) -> None:
    """Go from raw data to tables and figures; checkpoints with the same settings are reused.

    Args:
        prepared: reuse prepared data too, if they are intact and have the run's settings.
        command: the command that tables name; by default this process's.
        as_json: as for :func:`evaluate_and_report`.
    """
    started = time.perf_counter()
    progress = measured(run, progress)
    if run.config.jobs > 1:
        check_alone(run)
    own_metrics(run.config)  # so that their errors show before hours of work
    if not workers.is_main():
        pass
    elif (prepared or restarted()) and finds_prepared(run, progress):
        progress.skipped("prepare data")
    else:
        with progress.task("prepare data", 1) as advance:
            prepare_run(run, source, data_directory)
            advance()
    workers.wait()
    if run.config.jobs > 1:
        with side_by_side(run, progress) as side:
            found = side.train_and_test()
        evaluate_and_report(run, progress, started, command, as_json=as_json, tested=found)
        return
    pretrain_base_models(run, progress)
    meta_train_selectors(run, progress)
    evaluate_and_report(run, progress, started, command, as_json=as_json)


def finds_prepared(run: Run, progress: Progress) -> bool:
    """Return whether the prepared data can be reused; if not, say why."""
    try:
        return run.dataset is not None
    except (DataError, CheckpointError) as error:
        if run.data_directory.exists():
            progress.note(f"note: {error}; preparing it again")
        return False

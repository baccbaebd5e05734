"""The long tables: from raw data to the results over several seeds, kept in results/.

    python -m benchmarks.tables --dataset movielens-100k --protocol warm --seeds 5

writes ``benchmarks/results/movielens-100k-warm/``; ``--protocol cold`` tests new users, and
``--protocol global`` what comes after a date. Models that an interrupted run trained with the same
settings are reused.

    python -m benchmarks.tables --suite --data-folder DIR

makes every table of :data:`benchmarks.suite_entries.ENTRIES`, and one page of all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.command import (
    RawFilesOption,
    SetOption,
    new_app,
    published_command,
)
from benchmarks.command import run as run_app
from benchmarks.long_table import check_table, check_writable, keep
from benchmarks.suite import Options, make_suite
from benchmarks.suite_summary import write_summary
from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Bars
from metaselector.config import Config, load_config
from metaselector.data.own.own_log import is_schema
from metaselector.runs.run import Run
from metaselector.runs.session import session
from metaselector.runs.stage_costs import Measured
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.reproduce import finds_prepared, reproduce

PROTOCOLS = ("warm", "cold", "global")
CONFIG = Path(__file__).parent / "configs" / "tables.yaml"
SEEDS = 5
OF_THIS_MACHINE = {"--run": True, "--output": True, "--prepared": False}
"""Options that a table's command leaves out, and whether each has a value."""

app = new_app()


@app.command()
def main(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set, as for `metaselector reproduce`.", show_default="movielens-100k"
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help=f"One of: {', '.join(PROTOCOLS)}.", show_default="warm")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of seeds, starting at 0.",
            show_default="5; each of the suite has its own",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Run directory.", show_default="runs/<dataset>-<protocol>"),
    ] = None,
    data: RawFilesOption = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of settings.", show_default="tables.yaml; each of the suite has its own"
        ),
    ] = None,
    set_: SetOption = None,
    name: Annotated[
        str | None,
        typer.Option(help="Folder of the table.", show_default="<dataset>-<protocol>"),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder that the folders of tables are in.")] = Path(
        "benchmarks/results"
    ),
    prepared: Annotated[
        bool, typer.Option("--prepared", help="Reuse prepared data with the same settings.")
    ] = False,
    suite: Annotated[
        bool, typer.Option("--suite", help="Make the tables of all data sets and protocols.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A table of the suite, such as movietweetings-cold; may be repeated."),
    ] = None,
    data_folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the files of the suite's data sets.",
            show_default="fetched into data/",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the suite's runs.")] = Path("runs"),
    summary_only: Annotated[
        bool,
        typer.Option("--summary-only", help="With --suite: train nothing, collect the tables."),
    ] = False,
) -> None:
    """Train and evaluate all models with several seeds; keep the tables and their settings."""
    if suite:
        single = {"--dataset": dataset, "--protocol": protocol, "--run": run, "--data": data}
        for option, value in {**single, "--name": name}.items():
            if value is not None:
                raise UserError(f"{option} is for a single table; choose with --only")
        if summary_only:
            write_summary(output)
            return
        options = Options(only or (), data_folder, runs, output, seeds, config, set_ or ())
        if make_suite(options):
            sys.exit(1)
        return
    if only or data_folder or summary_only:
        raise UserError("--only, --data-folder and --summary-only need --suite")
    protocol = protocol or "warm"
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}: unknown protocol; {nearest(protocol, PROTOCOLS)}")
    changes: dict[str, Any] = {"seeds": list(range(seeds or SEEDS)), "protocol": protocol}
    changes |= {"dataset": dataset} if dataset else {}
    settings = load_config(config or CONFIG, set_ or (), changes=changes)
    name = name or table_name(settings)
    _make(Run(Path("runs") / name if run is None else run, settings), data, output / name, prepared)


def table_name(settings: Config) -> str:
    """``<dataset>-<protocol>``; a schema, which is given as a path, counts by its name."""
    dataset = settings.dataset
    return f"{Path(dataset).stem if is_schema(dataset) else dataset}-{settings.protocol}"


def _make(run: Run, data: Path | None, output: Path, prepared: bool) -> None:
    """Make one table; whatever cannot be finished is refused before training."""
    torch.set_num_threads(run.config.threads_of_process)
    check_writable(output)
    with session(run, Bars()) as progress:
        if not (prepared and finds_prepared(run, progress)):
            with Measured(progress, run.directory).task("prepare data", 1) as advance:
                prepare_run(run, data, Path("data"))
                advance()
        check_table(run)
        command = published_command(OF_THIS_MACHINE)
        reproduce(run, data, Path("data"), progress, prepared=True, command=command)
    keep(run, output)


if __name__ == "__main__":
    run_app(app)

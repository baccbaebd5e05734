"""The command line. Heavy imports wait until a command runs, so that ``--help`` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli_inference import explain, predict
from metaselector.cli_options import (
    DATA_DIRECTORY,
    FETCHED,
    BaseModelOption,
    CommOption,
    ConfigOption,
    DataDirectoryOption,
    DataOption,
    DatasetOption,
    DeviceOption,
    LaterConfigOption,
    ProtocolOption,
    ResumeOption,
    RunOption,
    SeedOption,
    SetOption,
    StrategyOption,
    ThreadsOption,
    TrackOption,
    WorkersOption,
    open_run,
    training,
)
from metaselector.cli_report import report
from metaselector.distributed import launch
from metaselector.errors import UserError

app = typer.Typer(
    name="metaselector",
    help="User-level adaptive model selection for recommenders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Fetch, describe and prepare data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.command()(predict)
app.command()(explain)
app.command()(report)


@app.command("config")
def config_command(
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Print every setting with its value and meaning, as YAML that --config takes."""
    from metaselector.config import documented_yaml, load_config

    typer.echo(documented_yaml(load_config(config, overrides or ())), nl=False)


@app.command()
def plugins(config: ConfigOption = None, overrides: SetOption = None) -> None:
    """List what settings can name: base models, selectors, rules, data sets, metrics and so on.

    With their source: built in, a package, or, of base models in the settings, a file.
    """
    from rich.console import Console

    from metaselector.config import load_config
    from metaselector.data import registry as data_registry
    from metaselector.plugin_kinds import ESTIMATORS, METRICS, RULES, SELECTORS
    from metaselector.registry import MODELS, in_files
    from metaselector.report.plugins import print_plugins

    kinds = (MODELS, ESTIMATORS, SELECTORS, RULES, data_registry.PLUGINS, METRICS)
    lines = [line for kind in kinds for line in kind.listing()]
    print_plugins([*in_files(load_config(config, overrides or ())), *lines], Console())


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help=f"Data set to fetch: {FETCHED}.")],
    data_directory: DataDirectoryOption = DATA_DIRECTORY,
) -> None:
    """Download a data set, verify its checksum, and say where it is.

    Licence, size, address and place are shown before anything is downloaded.
    """
    from metaselector.data.public.fetch import fetch

    typer.echo(fetch(name, data_directory))


@data_app.command("describe")
def data_describe(
    dataset: DatasetOption = None,
    data: DataOption = None,
    data_directory: DataDirectoryOption = DATA_DIRECTORY,
    config: ConfigOption = None,
    overrides: SetOption = None,
    json: Annotated[
        Path | None,
        typer.Option("--json", help="File to write the same to as JSON.", show_default="none"),
    ] = None,
) -> None:
    """Print what raw data looks like: counts, labels, times, features, and warnings.

    Of the settings, dataset and data.label_threshold matter.
    """
    from rich.console import Console

    from metaselector.config import load_config
    from metaselector.data.profile.describe import describe
    from metaselector.data.public.fetch import fetch
    from metaselector.data.registry import read
    from metaselector.report.profile import print_profile, write_profile

    settings = load_config(config, overrides or (), {"dataset": dataset} if dataset else {})
    source = fetch(settings.dataset, data_directory) if data is None else data
    profile = describe(read(settings.dataset, source), settings.data.label_threshold)
    print_profile(profile, Console())
    if json is not None:
        write_profile(profile, json)


@data_app.command("prepare")
def data_prepare(
    run: RunOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    data: DataOption = None,
    data_directory: DataDirectoryOption = DATA_DIRECTORY,
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Read raw files, encode them, and save the prepared data set in the run's directory."""
    from metaselector.run_lock import locked
    from metaselector.stages.prepare import prepare_run

    this = open_run(run, config, overrides, fresh=True, dataset=dataset, protocol=protocol)
    with locked(this.directory):
        prepare_run(this, data, data_directory)
    typer.echo(this.data_directory)


@data_app.command("schema")
def data_schema(
    file: Annotated[
        Path,
        typer.Argument(
            help="Interactions of your own: .csv, .tsv or .txt (also with .gz), .parquet, or a "
            "folder of .parquet files.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="File to write, which must not exist; --dataset takes it.",
            show_default="standard output",
        ),
    ] = None,
) -> None:
    """Draft a schema, the YAML file that says what your columns mean; guesses are marked."""
    from metaselector.data.own.draft import draft, write_draft

    if output is None:
        typer.echo(draft(file), nl=False)
    else:
        write_draft(file, output)
        typer.echo(output)


@app.command()
def pretrain(
    run: RunOption = None,
    base_model: BaseModelOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    track: TrackOption = None,
    strategy: StrategyOption = None,
    resume: ResumeOption = False,
    workers: WorkersOption = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="Directory of another run: each base model starts from the one of the same name, "
            "seed and window there. It must not have been trained on rows that this run validates "
            "or tests with.",
            show_default="transfer.init_from of the settings",
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave parameters as they come from there: a shell-style pattern over <base "
            "model>.<parameter>, such as '*.embedding.*'; may be repeated.",
            show_default="transfer.freeze of the settings",
        ),
    ] = None,
    unfreeze_after: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="EPOCHS",
            help="Train one more of these patterns after every so many epochs, the last one first.",
            show_default="transfer.unfreeze_every of the settings",
        ),
    ] = None,
) -> None:
    """Train the base models of a run whose data is prepared."""
    from rich.console import Console

    from metaselector.report.transfer import print_transfer
    from metaselector.run_directory import kept_config
    from metaselector.stages.train import pretrain_base_models

    transfer = {
        key: value
        for key, value in (
            ("init_from", None if init_from is None else str(init_from)),
            ("freeze", freeze or None),
            ("unfreeze_every", unfreeze_after),
        )
        if value is not None
    }
    this = open_run(
        run,
        config,
        overrides,
        base_models=base_model,
        seeds=seed or None,
        device=device,
        threads=threads,
        tracking=track or None,
        resume=resume,
        transfer=transfer or None,
        teaching={"strategy": strategy} if strategy else None,
    )
    with training(this) as progress, kept_config(this):
        pretrain_base_models(this, progress)
    if this.source is not None:
        print_transfer(this.directory, Console())


@app.command("meta-train")
def meta_train(
    run: RunOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    track: TrackOption = None,
    resume: ResumeOption = False,
    workers: WorkersOption = None,
    comm: CommOption = None,
) -> None:
    """Train the sample-level selector and MetaSelector (simplified, joint) on pretrained models."""
    from metaselector.run_directory import kept_config
    from metaselector.stages.train import meta_train_selectors

    this = open_run(
        run,
        config,
        overrides,
        seeds=seed or None,
        device=device,
        threads=threads,
        tracking=track or None,
        meta_train={"comm": comm} if comm else None,
        resume=resume,
    )
    with training(this) as progress, kept_config(this):
        meta_train_selectors(this, progress)


@app.command()
def tune(
    space: Annotated[
        Path,
        typer.Option(
            help="YAML file of what to try: lines such as adapt.steps: {low: 1, high: 4} (whole "
            "numbers, as both ends are) or adapt.phi_rate: {low: 0.1, high: 3.0, log: true}; "
            "instead of log, step; instead of a range, choices, a list.",
        ),
    ],
    run: RunOption = None,
    target: Annotated[
        str,
        typer.Option(
            help="Whose loss is minimised: a selector (metaselector, metaselector-simplified, "
            "sample-selector), or a base model, for which only its own settings can be tuned, and "
            "those of teaching."
        ),
    ] = "metaselector",
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, with those of earlier calls.")
    ] = 30,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds after which no further trial starts.", show_default="none"
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="SQLite file that keeps the trials, so that the same command goes on with them.",
            show_default="tune/<target>.db in the run's directory",
        ),
    ] = None,
    base_model: BaseModelOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Search settings with Optuna for the lowest mean valid loss over the seeds; never sees test.

    Needs prepared data; base models that are missing are pretrained. What the run has trained
    stays. The chosen settings are left in tune/<target>.yaml, which --config takes.

    The best of many trials is partly luck with the valid window: its valid loss flatters it, the
    more the more trials there are. What it is worth, evaluate tells.
    """
    try:
        from metaselector.stages.tune import tune as search
    except ModuleNotFoundError as error:
        raise UserError(
            f"tuning needs Optuna: there is no module {error.name}; "
            "pip install 'metaselector[tune]' brings it"
        ) from error

    this = open_run(
        run,
        config,
        overrides,
        base_models=base_model,
        seeds=seed or None,
        device=device,
        threads=threads,
    )
    with training(this) as progress:
        found = search(this, space, target, trials, progress, timeout=timeout, study=study)
    typer.echo(
        f"valid logloss {found.best:.4f} in trial {found.number}, the best of {found.finished}; "
        f"{found.before:.4f} with the settings before ({found.best - found.before:+.4f})"
    )
    for key, value in found.chosen.items():
        typer.echo(f"  {key}: {value}")
    for path in (found.settings, found.trials):
        typer.echo(path)


@app.command()
def evaluate(
    run: RunOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    workers: WorkersOption = None,
) -> None:
    """Predict the test window with all that was trained; write results, tables and figures."""
    from metaselector.stages.reproduce import evaluate_and_report

    this = open_run(run, config, overrides, seeds=seed or None, device=device, threads=threads)
    with training(this) as progress:
        evaluate_and_report(this, progress)


@app.command()
def analyse(
    run: RunOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Say how an evaluated run comes to its results: users, weights, calibration, inner steps.

    Writes analysis/ in the run's directory: tables, figures, and summary.md, which explains them.
    """
    from metaselector.progress import Bars
    from metaselector.run_lock import locked
    from metaselector.stages.analyse import analyse as analyse_run

    this = open_run(run, None, None, device=device, threads=threads)
    with locked(this.directory):
        written = analyse_run(this, Bars())
    for path in written:
        typer.echo(path)


@app.command()
def reproduce(
    run: RunOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    data: DataOption = None,
    data_directory: DataDirectoryOption = DATA_DIRECTORY,
    base_model: BaseModelOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    track: TrackOption = None,
    strategy: StrategyOption = None,
    resume: ResumeOption = False,
    workers: WorkersOption = None,
    comm: CommOption = None,
) -> None:
    """From raw data to the results table: fetch, prepare, pretrain, meta-train, evaluate, report.

    What an interrupted run had trained with the same settings is used again.
    """
    from metaselector.stages.reproduce import reproduce as reproduce_run

    this = open_run(
        run,
        config,
        overrides,
        base_models=base_model,
        fresh=True,
        dataset=dataset,
        protocol=protocol,
        seeds=seed or None,
        device=device,
        threads=threads,
        tracking=track or None,
        meta_train={"comm": comm} if comm else None,
        resume=resume,
        teaching={"strategy": strategy} if strategy else None,
    )
    with training(this) as progress:
        reproduce_run(this, data, data_directory, progress, prepared=resume)


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    several = os.environ.get("WORLD_SIZE", "1") != "1"  # torchrun has started this process
    try:
        if several and launch.ended():
            sys.exit(0)
        app()
    except UserError as error:
        if os.environ.get("RANK", "0") == "0":  # one of several is enough
            print(f"error: {error}", file=sys.stderr)
        sys.exit(launch.end(2) if several else 2)
    except SystemExit as ended:
        if several and isinstance(ended.code, int) and ended.code > 1:  # wrong options, or a signal
            sys.exit(launch.end(ended.code))
        raise


if __name__ == "__main__":
    main()

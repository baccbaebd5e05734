"""The commands about data sets: data fetch, describe, prepare and schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.options import (
    DATA_DIRECTORY,
    FETCHED,
    AllowCodeOption,
    ConfigOption,
    DataDirectoryOption,
    DataOption,
    DatasetOption,
    ProtocolOption,
    RunOption,
    SetOption,
    open_run,
)
from metaselector.common.streams import console, put_out, say

data_app = typer.Typer(help="Fetch, describe and prepare data sets.", no_args_is_help=True)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help=f"Data set to fetch: {FETCHED}.")],
    data_directory: DataDirectoryOption = DATA_DIRECTORY,
) -> None:
    """Download a data set, verify its checksum, and say where it is.

    Licence, size, address and place are shown before anything is downloaded.
    """
    from metaselector.data.fetch import fetch

    say(fetch(name, data_directory))


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
    allow_code: AllowCodeOption = False,
) -> None:
    """Print what raw data looks like: counts, labels, times, features, and warnings.

    Of the settings, dataset, data.label_threshold, protocol and its split matter: features are
    judged by the rows of train, as training does.
    """
    from metaselector.config import load_config
    from metaselector.data.fetch import fetch
    from metaselector.data.profile.describe import describe
    from metaselector.data.registry import read
    from metaselector.data.splitting.windows import Windows
    from metaselector.report.profile import print_profile, write_profile

    settings = load_config(
        config, overrides or (), {"dataset": dataset} if dataset else {}, allow_code=allow_code
    )
    source = fetch(settings.dataset, data_directory) if data is None else data
    split = settings.percentages
    profile = describe(
        read(settings.dataset, source),
        settings.data.label_threshold,
        windows=Windows(split.early, split.train, split.valid),
        cold_seed=settings.cold_seed,
    )
    print_profile(profile, console())
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
    allow_code: AllowCodeOption = False,
) -> None:
    """Read raw files, encode them, and save the prepared data set in the run's directory."""
    from metaselector.runs.lock import locked
    from metaselector.runs.stages.prepare import prepare_run

    this = open_run(
        run,
        config,
        overrides,
        fresh=True,
        allow_code=allow_code,
        dataset=dataset,
        protocol=protocol,
    )
    with locked(this.directory):
        prepare_run(this, data, data_directory)
    say(this.data_directory)


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
        put_out(draft(file))
    else:
        write_draft(file, output)
        say(output)

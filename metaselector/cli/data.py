"""The commands for data sets: data fetch, describe, prepare and schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.completion import fetched
from metaselector.cli.declare import Options, with_options
from metaselector.cli.next_step import tell_next
from metaselector.cli.opening import load, open_run
from metaselector.cli.options import (
    ALLOW_CODE,
    CONFIG,
    DATA,
    DATA_DIRECTORY,
    DATASET,
    FETCHED_NAMES,
    JSON,
    PROTOCOL,
    QUIET,
    RUN,
    SET,
)
from metaselector.common.streams import console, put_out, say, tell

data_app = typer.Typer(help="Fetch, describe and prepare data sets.", no_args_is_help=True)


@data_app.command("fetch")
@with_options(DATA_DIRECTORY, QUIET)
def data_fetch(
    options: Options,
    name: Annotated[
        str,
        typer.Argument(help=f"Data set to fetch: {FETCHED_NAMES}.", autocompletion=fetched),
    ],
    data_directory: Path,
) -> None:
    """Download a data set, verify its checksum, and print its location.

    Shows licence, size, address and location before downloading anything, also with --quiet.
    """
    from metaselector.data.fetch import fetch

    say(fetch(name, data_directory, progress=not options.quiet))


@data_app.command("describe")
@with_options(DATASET, DATA, DATA_DIRECTORY, CONFIG, SET, ALLOW_CODE, JSON, QUIET)
def data_describe(options: Options, data: Path | None, data_directory: Path, as_json: bool) -> None:
    """Describe raw data: counts, labels, times, features, and warnings.

    Of the settings, only dataset, data.label_threshold, data.min_user_rows, data.min_user_lists,
    protocol and its split matter. Features are judged on the training rows, as in training.
    """
    from metaselector.data.fetch import fetch
    from metaselector.data.profile.describe import describe
    from metaselector.data.registry import read
    from metaselector.data.splitting.dates import given_dates
    from metaselector.data.splitting.windows import Windows
    from metaselector.report.profile import print_profile, profile_json

    settings = load(options, options.config)
    source = data or fetch(settings.dataset, data_directory, progress=not options.quiet)
    split = settings.percentages
    profile = describe(
        read(settings.dataset, source),
        settings.data.label_threshold,
        windows=Windows(split.early, split.train, split.valid),
        cold_seed=settings.cold_seed,
        min_user_rows=settings.data.min_user_rows,
        min_user_lists=settings.data.min_user_lists,
        by_date=settings.by_date,
        dates=given_dates(settings),
    )
    if as_json:
        put_out(profile_json(profile))
    else:
        print_profile(profile, console())


@data_app.command("prepare")
@with_options(RUN, DATASET, PROTOCOL, DATA, DATA_DIRECTORY, CONFIG, SET, ALLOW_CODE, QUIET)
def data_prepare(options: Options, data: Path | None, data_directory: Path) -> None:
    """Read raw files, encode them, and save the prepared data set in the run's directory."""
    from metaselector.runs.lock import locked
    from metaselector.runs.stages.prepare import prepare_run

    this = open_run(options, fresh=True)
    with locked(this.directory):
        prepare_run(this, data, data_directory)
    say(this.data_directory)


@data_app.command("schema")
@with_options("output", QUIET)
def data_schema(
    options: Options,
    file: Annotated[
        Path,
        typer.Argument(
            help="Your own interactions: .csv, .tsv, .txt or .jsonl (optionally .gz, .zst or "
            ".bz2), .parquet, a folder of such files, or a quoted pattern such as 'logs/*.csv'.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="File to write, which must not exist yet; pass it to --dataset.",
            show_default="standard output",
        ),
    ] = None,
) -> None:
    """Draft a schema, the YAML file that describes your columns; guesses are marked."""
    from metaselector.data.own.draft import draft, marks, write_draft

    if output is None:
        put_out(draft(file))
        return
    write_draft(file, output)
    say(output)
    if options.quiet:
        return
    checks = marks(output.read_text(encoding="utf-8"))
    if checks:
        tell(f"note: look at {checks} of its lines, which are marked `# check:`")
    tell_next("reproduce", "--dataset", output)
